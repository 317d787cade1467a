// `Muster-Assertion`: the proof that this very request passed the gate, verified by the backend behind a gateway. A JWT
// signed with EdDSA over Ed25519. It says nothing of the query and the body, and it holds for 30 s.

import { createHash, createPublicKey, verify } from "node:crypto";
import { NotJSON, table } from "./strict.js";

const TYPE = "muster-assertion+jwt";
const TEXTS = ["iss", "tenant", "aud", "jti", "sub", "sub_type", "action", "htm", "path_sha256"];
const LEEWAY = 5, LONGEST = 60, MOST = 8192;

/** This request is not shown to have passed the gate; `code` says why. */
export class Unproven extends Error {
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.name = "Unproven";
    this.code = code;
  }
}

/**
 * The claims of this request's assertion; throws Unproven.
 *
 * `expected`: { issuer, audience, tenant = "default", keys, method, path, decisionId, now }. `keys` is a Map of key IDs
 * and public keys (`parseKeys`); `path` the request's raw target, of which what stands before its `?` counts.
 */
export function verifyAssertion(token, expected) {
  const claims = signed(token, expected.keys);
  if (TEXTS.some((name) => typeof claims[name] !== "string")) throw new Unproven("malformed", "a claim is missing");
  const { iat, exp } = claims;
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) throw new Unproven("malformed", "iat or exp is no number");
  const now = expected.now ?? Date.now() / 1000;
  const holds = now < exp + LEEWAY && now >= iat - LEEWAY && exp > iat && exp - iat <= LONGEST;
  if (!holds) throw new Unproven("expired", "it does not hold now: it is old, or the clocks differ");
  const wanted = {
    iss: expected.issuer,
    tenant: expected.tenant ?? "default",
    aud: expected.audience,
    htm: expected.method,
    path_sha256: createHash("sha256").update(String(expected.path).split("?", 1)[0], "latin1").digest("hex"),
    jti: expected.decisionId,
  };
  for (const [name, value] of Object.entries(wanted)) {
    if (typeof value !== "string" || claims[name] !== value) {
      throw new Unproven(`wrong-${name}`, "the assertion was made for something else");
    }
  }
  return claims;
}

/** The Ed25519 keys of a JWKS document (its bytes) by name; throws where there are none, or two of one name. */
export function parseKeys(bytes) {
  const { keys } = table(bytes);
  if (!Array.isArray(keys)) throw new NotJSON("it has no list of keys");
  const usable = keys.filter(
    (key) =>
      key?.kty === "OKP" && key.crv === "Ed25519" && (key.use ?? "sig") === "sig" && (key.alg ?? "EdDSA") === "EdDSA" &&
      typeof key.kid === "string" && typeof key.x === "string",
  );
  const found = new Map(
    usable.map(({ kid, x }) => [kid, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })]),
  );
  if (found.size === 0 || found.size !== usable.length) throw new NotJSON("it has no Ed25519 key, or two of one name");
  return found;
}

function signed(token, keys) {
  const parts = typeof token === "string" && token.length <= MOST ? token.split(".") : [];
  if (parts.length !== 3) throw new Unproven("malformed", "it is not of three parts");
  const [header, claims, signature] = parts.map(decoded);
  const said = read(header);
  if (said.alg !== "EdDSA" || said.typ !== TYPE || Object.hasOwn(said, "crit")) {
    throw new Unproven("wrong-type", "it is signed in another way, or is no assertion of Muster");
  }
  const key = typeof said.kid === "string" ? keys.get(said.kid) : undefined;
  if (key === undefined) throw new Unproven("unknown-key", "no key of the issuer has this name");
  if (key.asymmetricKeyType !== "ed25519" || !verify(null, Buffer.from(`${parts[0]}.${parts[1]}`), key, signature)) {
    throw new Unproven("bad-signature", "the key that it names has not signed it");
  }
  return read(claims);
}

// base64url without padding; one spelling for each string of bytes.
function decoded(part) {
  const data = Buffer.from(part, "base64url");
  if (data.toString("base64url") !== part) throw new Unproven("malformed", "a part is not base64url");
  return data;
}

function read(bytes) {
  try {
    return table(bytes);
  } catch (error) {
    if (!(error instanceof NotJSON)) throw error;
    throw new Unproven("malformed", error.message);
  }
}
