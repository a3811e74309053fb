// Reads a list of questions as JSON, answers them as JSON: a signature, or whether a message is verified.
"use strict";
const { Webhook } = require("standardwebhooks");

function answer({ secret, sign, verify, body }) {
  const webhook = new Webhook(secret);
  if (sign) return webhook.sign(sign.id, new Date(sign.at * 1000), body);
  try {
    webhook.verify(body, verify, { jsonParse: false });
    return true;
  } catch (refusal) {
    return false;
  }
}

const questions = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(questions.map(answer)));
