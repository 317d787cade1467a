// A backend behind a gateway: whoever comes around the gateway is refused. With Express: app.use(guarded).
import { createServer } from "node:http";
import { onlyThroughTheGate } from "muster-client";

const guarded = onlyThroughTheGate({ issuer: process.env.MUSTER_URL, audience: "backend" });

const server = createServer((request, response) =>
  guarded(request, response, (error) => {
    response.statusCode = error === undefined ? 200 : 500;
    response.setHeader("Content-Type", "application/json");
    return response.end(error === undefined ? JSON.stringify({ for: request.muster.sub, by: request.muster.jti }) : "");
  }),
);
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
