// What the tests ask of the JavaScript kit: lines of JSON in, one line of JSON out for each.
import { createInterface } from "node:readline";
import { Client, Keys, Undecided, Unproven, parseKeys, verifyAssertion } from "../../clients/javascript/index.js";

const RESOURCE = { type: "dataset", id: "customers", properties: { customer: "acme" } };

async function asked({ url, token, user, context, timeoutMs, times = 1, requestId, ca }) {
  const client = new Client(url, { token, timeoutMs, ca });
  const began = performance.now();
  let told;
  try {
    for (let n = 0; n < times; n += 1) told = await client.decide(user, "data-export", RESOURCE, context, { requestId });
  } catch (error) {
    if (!(error instanceof Undecided)) throw error;
    const { cause, status, retryAfter, decisionId } = error;
    told = { undecided: cause, status, retryAfter, decisionId };
  } finally {
    client.close();
  }
  return { ...told, ms: performance.now() - began };
}

async function stored({ url, token, user, context, key }) {
  const client = new Client(url, { token, timeoutMs: 5000 });
  try {
    return await client.store(user, "data-export", RESOURCE, context, { expiresIn: "PT5M", key });
  } catch (error) {
    if (!(error instanceof Undecided)) throw error;
    return { undecided: error.cause, status: error.status };
  } finally {
    client.close();
  }
}

function verified({ jwks, token, issuer, audience, tenant, method, target, decision, now }) {
  const keys = parseKeys(Buffer.from(JSON.stringify(jwks)));
  const expected = { issuer, audience, tenant, keys, method, path: target, decisionId: decision, now };
  try {
    return { got: "ok", claims: verifyAssertion(token, expected) };
  } catch (error) {
    if (!(error instanceof Unproven)) throw error;
    return { got: error.code };
  }
}

function refused(what, make) {
  try {
    make();
    return { refused: false };
  } catch (error) {
    return { refused: error.constructor.name, what };
  }
}

const does = {
  ask: asked,
  store: stored,
  verify: verified,
  address: ({ url }) => refused(url, () => new Client(url, { token: "t" }).close()),
  keys: ({ document }) => refused(document, () => parseKeys(Buffer.from(document))),
  fetched: ({ url }) => refused(url, () => new Keys(url).close()),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { what, ...given } = JSON.parse(line);
  console.log(JSON.stringify(await does[what](given)));
}
