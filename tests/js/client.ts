// client.ts URL: a client typed by openapi-typescript, against the live gateway. Prints
// what it got as one JSON object; test_openapi.py looks at it. What must not compile is
// marked with @ts-expect-error, so types that became loose fail as well.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: [string, string, string] };
type Echo = components["schemas"]["errandtest.v1.EchoMessage"];

const client = createClient<paths>({ baseUrl: process.argv[2] });
const got: Record<string, unknown> = {};

async function unary() {
  const item = await client.GET("/items/{item_id}", { params: { path: { item_id: 7 } } });
  if (!item.data) throw new Error("no item");
  const id: number | undefined = item.data.item_id;
  const message: Echo = {
    int64_value: "9007199254740993", kind: "SECOND", names: ["a", "b"], counts: { x: 1 },
    inner: { label: "l", next: { weight: 2 } }, words: "w", double_value: "NaN",
  };
  const echo = await client.POST("/test/echo", { body: message });
  got.unary = { id, echo: echo.data };
  // @ts-expect-error: the path's parameter must be given
  void (() => client.GET("/items/{item_id}"));
  // @ts-expect-error: no such value of the enum
  const wrong: Echo = { kind: "THIRD" };
  void wrong;
}

async function query() {
  const { data } = await client.GET("/test/echo/{text_value}", {
    params: {
      path: { text_value: "a b/c" },
      query: { numbers: [1, 2], counts: { x: 3, y: 4 }, "inner.label": "deep", bool_value: true },
    },
  });
  got.query = data;
}

async function task() {
  const begun = await client.POST("/test/task-echo", { body: { text_value: "durable" } });
  if (!begun.data || !("id" in begun.data) || !begun.data.id) throw new Error("no task");
  const path = { id: begun.data.id };
  let state: components["schemas"]["errand.v1.Task.State"] | undefined;
  for (let i = 0; i < 60 && state !== "SUCCEEDED"; i++) {
    const seen = await client.GET("/v1/tasks/{id}", {
      params: { path, header: { Prefer: "wait=1" } },
    });
    state = seen.data?.state;
  }
  const result = await client.GET("/v1/tasks/{id}/result", { params: { path } });
  const again = await client.POST("/test/task-echo", {
    params: { header: { Prefer: "wait=30" } }, body: { text_value: "waited" },
  });
  const forgotten = await client.DELETE("/v1/tasks/{id}", { params: { path } });
  got.task = {
    status: begun.response.status, location: begun.response.headers.get("location"), state,
    result: result.data, waited: [again.response.status, again.data],
    forgotten: forgotten.response.status,
  };
}

async function problem() {
  const bad = await client.POST("/test/echo", { body: { int32_value: "x" as unknown as number } });
  const missing = await client.GET("/v1/tasks/{id}", {
    params: { path: { id: "00000000-0000-7000-8000-000000000000" } },
  });
  if (!bad.error || !missing.error) throw new Error("no problem");
  const pointer: string | undefined = bad.error.errors?.[0]?.pointer;
  got.problem = { status: bad.response.status, pointer, code: missing.error.code };
}

async function stream() {
  const { data } = await client.GET("/test/stream", { params: { query: { count: 3, size: 2 } } });
  if (!Array.isArray(data)) throw new Error("no array");
  got.stream = data.map((chunk) => ("@error" in chunk ? -1 : chunk.index));
}

for (const part of [unary, query, task, problem, stream]) await part();
console.log(JSON.stringify(got));
