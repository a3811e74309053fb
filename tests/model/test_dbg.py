from tests.model.test_model import play, bent
from tests.model import machine as m
from hypothesis.internal.conjecture import data as d, engine as e
from hypothesis.internal.conjecture import datatree as dt
import traceback, sys, time
def test_dbg(ground, monkeypatch):
    oc=dt.TreeRecordingObserver.conclude_test
    def ct(self, status, io):
        try: return oc(self, status, io)
        except BaseException:
            print("CONCLUDE", status, io, self._index_in_current_node, len(self._current_node.values), type(self._current_node.transition), self._current_node.transition)
            traceback.print_stack(limit=25)
            raise
    monkeypatch.setattr(dt.TreeRecordingObserver,"conclude_test",ct)
    oe=m.Machine.teardown
    lives=[]
    def td(self):
        x=sys.exc_info()[1]
        y=None
        try: oe(self)
        except BaseException as yy: y=yy; raise
        finally: lives.append((len(self.tr), repr(x)[:200], repr(y)[:200], self.tr))
    monkeypatch.setattr(m.Machine,"teardown",td)
    oi=m.Machine.__init__
    def init(self,*a): oi(self,*a); self.tr=[]
    monkeypatch.setattr(m.Machine,"__init__",init)
    for name in m.STEPS if hasattr(m,"STEPS") else []: pass
    from tests.model.choices import STEPS
    for name in [*STEPS,"employ","_arrive"]:
        def wrap(name=name, f=getattr(m.Machine,name)):
            def g(self,*a,**k):
                self.tr.append((name,a,k)); return f(self,*a,**k)
            return g
        monkeypatch.setattr(m.Machine,name,wrap())
    end=time.time()+540
    i=int(time.time())
    while time.time()<end:
        i+=1
        lives.clear()
        try: play(ground, i, bent.GraceOutlivesTheReturn, shrink=False)
        except AssertionError: print("found", i, [l[:3] for l in lives[-2:]]); continue
        except BaseException as x:
            print("round", i, repr(x)[:200])
            for l in lives: print(l[:3])
            for l in lives[-2:]: print(l[3])
            return
