// Verifies callbacks with Standard Webhooks' own library: `node webhook.mjs SECRET`, one
// JSON object {headers, body} a line on stdin; for each a line: what it says, or why not.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);
for await (const line of createInterface({ input: process.stdin })) {
	const { headers, body } = JSON.parse(line);
	try {
		console.log(JSON.stringify(webhook.verify(body, headers)));
	} catch (e) {
		console.log(JSON.stringify({ refused: String(e.message) }));
	}
}
