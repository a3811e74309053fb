// The README's tour by a client that openapi-typescript made of docs/openapi.json. Prints a line for each step.
import createClient from "openapi-fetch";

import type { components, paths } from "./api.d.ts";

type Refusal = components["schemas"]["Error"];

const [baseUrl, password] = process.argv.slice(2) as [string, string];
const anyone = createClient<paths>({ baseUrl });

function told<T>(answer: { data?: T; error?: Refusal }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.message}`);
  return answer.data;
}

async function signedIn(email: string) {
  const { data } = told(await anyone.POST("/api/v1/auth/token", { body: { email, password } }));
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${data.access_token}` } });
  return { client, id: told(await client.GET("/api/v1/me")).data.id };
}

const one = await signedIn("operator1@example.com");
const two = await signedIn("operator2@example.com");
const manager = await signedIn("manager@example.com");

const page = told(await one.client.GET("/api/v1/conversations", { params: { query: { state: "QUEUED", limit: 2 } } })).data;
console.log(`waiting: ${page.conversations.map((waiting) => waiting.external_conversation_id).join(" ")}`);

const given = told(await one.client.POST("/api/v1/conversations/allocate", { body: { operator_id: one.id } })).data;
if (given === null || Array.isArray(given)) throw new Error("one conversation was asked for");
console.log(`allocated: ${given.external_conversation_id} ${given.state}`);

const taken = await two.client.POST("/api/v1/conversations/claim", { body: { operator_id: two.id, conversation_id: given.id } });
console.log(`refused: ${taken.response.status} ${taken.error?.code}`);

const labels = told(await one.client.GET("/api/v1/labels", { params: { query: { inbox_id: given.inbox_id } } })).data;
const label = labels[0];
if (label === undefined) throw new Error("the inbox has labels");
await one.client.POST("/api/v1/labels/attach", { body: { conversation_id: given.id, label_id: label.id } });
const worn = told(await one.client.GET("/api/v1/conversations/{id}", { params: { path: { id: given.id } } })).data;
console.log(`labelled: ${worn.labels.some(({ id }) => id === label.id)}`);

const away = told(await two.client.PUT("/api/v1/operators/{id}/status", { params: { path: { id: two.id } }, body: { status: "OFFLINE" } }));
console.log(`status: ${away.data.status.status}`);

const resolved = told(await one.client.POST("/api/v1/conversations/resolve", { body: { conversation_id: given.id } })).data;
console.log(`resolved: ${resolved.state} ${resolved.assigned_operator_id}`);

const stats = told(await manager.client.GET("/api/v1/operators/{id}/stats", { params: { path: { id: one.id } } })).data;
console.log(`resolved today: ${stats.resolved_today}`);
