// Connect's own client for Node against a running pair: `node connect.mjs URL`, beside
// the code protoc-gen-es makes of tests/e2e/testmod.proto. Every check once in JSON,
// once in binary.
import assert from "node:assert/strict";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Test } from "./testmod_pb.js";

let checks = 0;

async function fails(call, code) {
	let error;
	try {
		await call;
	} catch (e) {
		error = ConnectError.from(e);
	}
	assert.equal(error?.code, code, String(error));
	checks++;
	return error;
}

async function run(useBinaryFormat) {
	let tag; // answers to GET have one
	const onHeader = (headers) => { tag = headers.get("etag"); };
	const transport = createConnectTransport({
		baseUrl: process.argv[2],
		httpVersion: "1.1",
		useBinaryFormat,
		useHttpGet: true,
	});
	const client = createClient(Test, transport);
	const message = {
		textValue: "grüße & more",
		int64Value: 9007199254740993n,
		bytesValue: new Uint8Array([0, 255, 1]),
		inner: { label: "in", weight: -3 },
		numbers: [1, 2, 3],
		counts: { a: 1, b: 2 },
		choice: { case: "words", value: "w" },
		at: { seconds: 1700000000n, nanos: 500000000 },
	};

	// GET: Echo has no side effects
	let answer = await client.echo(message, { onHeader });
	assert.equal(answer.textValue, message.textValue);
	assert.equal(answer.int64Value, message.int64Value);
	assert.deepEqual(answer.bytesValue, message.bytesValue);
	assert.equal(answer.inner.weight, -3);
	assert.deepEqual(answer.counts, message.counts);
	assert.deepEqual(answer.choice, message.choice);
	assert.equal(answer.at.nanos, 500000000);
	assert.match(tag, /^W/);
	checks++;

	// POST, small and large enough to be packed both ways
	answer = await client.syncEcho(message, { onHeader });
	assert.equal(answer.textValue, message.textValue);
	assert.equal(tag, null);
	checks++;
	answer = await client.syncEcho({ textValue: "long ".repeat(20000) });
	assert.equal(answer.textValue.length, 100000);
	checks++;
	answer = await client.syncEcho({});
	assert.equal(answer.textValue, "");
	checks++;

	// a task: the call waits for it
	answer = await client.taskEcho({ textValue: "task" });
	assert.equal(answer.textValue, "task");
	checks++;

	// errors
	let error = await fails(client.fail({ code: 9, message: "not so" }), Code.FailedPrecondition);
	assert.match(error.rawMessage, /not so/);
	await fails(client.fail({ code: 14, message: "gone" }), Code.Unavailable);
	await fails(client.sleep({ ms: 3000n }, { timeoutMs: 100 }), Code.DeadlineExceeded);
	const stop = new AbortController();
	setTimeout(() => stop.abort(), 50);
	await fails(client.sleep({ ms: 3000n }, { signal: stop.signal }), Code.Canceled);
	await fails(client.echo({}, { headers: { "Connect-Timeout-Ms": "soon" } }), Code.InvalidArgument);
	error = await fails(client.syncEcho({ textValue: "nul \0" }), Code.InvalidArgument);
	assert.equal(error.details[0].type, "google.rpc.BadRequest");
	await fails((async () => {
		for await (const _ of client.stream({ count: 1 }))
			;
	})(), Code.Unimplemented);
}

await run(false);
await run(true);
console.log(`${checks} checks`);
