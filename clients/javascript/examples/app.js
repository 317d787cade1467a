// A server that asks before it exports. With Express: app.post("/customers/:customer/export", allowed, handler).
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { Client, require } from "muster-client";

const client = new Client(process.env.MUSTER_URL, { token: () => readFile(process.env.MUSTER_TOKEN_FILE, "utf8") });

const allowed = require("data-export", {
  client,
  // Who is signed in. Put your own session or token check here: never a header that anybody can send.
  subject: (request) => request.headers["x-signed-in"],
  resource: (request) => ({ type: "dataset", id: "customers", properties: { customer: request.url.split("/")[2] } }),
  context: { destination: "warehouse://analytics", ticket: "REQ-1", columns: ["customer_id"] },
  remedyHosts: [new URL(process.env.MUSTER_URL).host],
});

const server = createServer((request, response) =>
  allowed(request, response, (error) => {
    if (error !== undefined) {
      response.statusCode = 500;
      return response.end();
    }
    response.setHeader("Content-Type", "application/json");
    return response.end(JSON.stringify({ exported: true, by: request.muster.decisionId }));
  }),
);
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
