// Muster's client for Node: asks "may this person do this now?", and takes nothing but a well-formed yes for a yes.

import http from "node:http";
import https from "node:https";
import { Unproven, parseKeys, verifyAssertion } from "./assertion.js";
import { NotJSON, table } from "./strict.js";

export { Unproven, parseKeys, verifyAssertion };

const MOST = 1 << 20;
const KEPT_MS = 30_000;
const REFUSALS = [400, 401, 403, 404, 413];

/** It is not known whether this may be done: do not do it. */
export class Undecided extends Error {
  constructor(cause, detail, { status, retryAfter = 1, decisionId } = {}) {
    super(`${cause}: ${detail}`);
    this.name = "Undecided";
    Object.assign(this, { cause, status, retryAfter, decisionId });
  }
}

/** Asks one service. Nothing is sent twice, no redirect is followed, and one deadline holds for all of a call. */
export class Client {
  #token;
  #agent;

  constructor(baseUrl, { token, timeoutMs = 1000, plainHttp = false, ca } = {}) {
    const url = address(baseUrl, plainHttp);
    this.baseUrl = url.href.replace(/\/+$/, "");
    this.timeoutMs = timeoutMs;
    this.#token = token;
    const kind = url.protocol === "https:" ? https : http;
    this.#agent = new kind.Agent({ keepAlive: true, timeout: KEPT_MS, ...(ca === undefined ? {} : { ca }) });
  }

  /** May this be done now? A subject that is a string is the ID of a user. Rejects with Undecided. */
  async decide(subject, action, resource, context = {}, { requestId } = {}) {
    const asked = JSON.stringify({ subject: whom(subject), action: { name: action }, resource, context });
    return read(await this.#sent("/v1/decisions", asked, { requestId }), 200, (told) => decision(told, this.baseUrl));
  }

  /**
   * Store a request beforehand, for a gateway's ask to cite. Rejects with Undecided: then it may have been stored.
   * `expiresIn` is an ISO 8601 duration. Sent again with the same `key` it is the same request.
   */
  async store(subject, action, resource, context = {}, { expiresIn, key, requestId } = {}) {
    const { type, id } = whom(subject);
    const asked = { subject: { type, id }, action: { name: action }, resource, context, expires_in: expiresIn };
    return read(await this.#sent("/v1/requests", JSON.stringify(asked), { requestId, key }), 201, stored);
  }

  /** Close the connections that are kept. */
  close() {
    this.#agent.destroy();
  }

  async #read() {
    let token;
    try {
      token = String(typeof this.#token === "function" ? await this.#token() : this.#token).trim();
    } catch (error) {
      throw new Undecided("no-token", `the token could not be read: ${error.message}`);
    }
    if (/^[\x21-\x7e]+$/.test(token)) return token;
    throw new Undecided("no-token", "the token is empty, or has characters that no token has");
  }

  async #sent(path, body, { requestId, key }) {
    const token = await this.#read();
    const headers = {
      Authorization: `Bearer ${token}`,
      Accept: "application/json",
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
    };
    if (typeof requestId === "string" && /^[\x21-\x7e]{1,128}$/.test(requestId)) headers["X-Request-ID"] = requestId;
    if (key !== undefined) headers["Idempotency-Key"] = key;
    return exchanged(this.baseUrl + path, { method: "POST", headers, agent: this.#agent }, body, this.timeoutMs);
  }
}

/**
 * Express-style middleware: `app.post("/exports/:id", require("data-export", { client, subject, resource }), handler)`.
 *
 * `subject`, `resource` and `context` are values, or functions of the request. A no is 403 with its remedy (or 303 to it
 * for browsers, where it is at one of `remedyHosts`), nobody is 401, and what could not be decided is 503.
 */
export function require(action, { client, subject, resource, context = {}, remedyHosts = [] }) {
  const of = async (given, request) => (typeof given === "function" ? given(request) : given);
  return async function required(request, response, next) {
    let decided;
    try {
      const whom = await of(subject, request);
      if (whom === undefined || whom === null || whom === "") return tell(response, nobody());
      const asked = [whom, action, await of(resource, request), await of(context, request)];
      decided = await client.decide(...asked, { requestId: request.headers["x-request-id"] });
      if (decided?.allow !== true) return tell(response, denied(request, decided, remedyHosts));
    } catch (error) {
      if (error instanceof Undecided) return tell(response, undecided(error));
      return next(error);
    }
    request.muster = decided;
    return next();
  };
}

/** The keys of a tenant, fetched in the background and kept; no request waits for one. Call `close()` at the end. */
export class Keys {
  #keys = new Map();
  #timer;
  #next = 0;
  #at = 0;

  constructor(url, { plainHttp = false } = {}) {
    this.url = address(url, plainHttp).href;
    this.#timer = setInterval(() => this.#due(), 1000).unref();
    this.#due();
  }

  get(kid) {
    if (Date.now() - this.#at > 86_400_000) throw new Undecided("no-keys", `${this.url} could not be fetched yet`);
    const found = this.#keys.get(kid);
    if (found === undefined) this.#next = Math.min(this.#next, this.#at + 10_000);
    return found;
  }

  close() {
    clearInterval(this.#timer);
  }

  #due() {
    if (Date.now() < this.#next) return;
    this.#next = Date.now() + 10_000;
    exchanged(this.url, { method: "GET", headers: { Accept: "application/json" } }, "", 5000)
      .then((answer) => {
        if (answer.status !== 200) throw new NotJSON(`the answer is ${answer.status}`);
        this.#keys = parseKeys(answer.body);
        this.#at = Date.now();
        this.#next = this.#at + 300_000;
      })
      .catch((error) => {
        if (this.#at === 0) this.#next = Date.now() + 1000;
        process.emitWarning(`the keys at ${this.url} could not be fetched: ${error.message}`);
      });
  }
}

/** Express-style middleware: lets in only requests with an assertion for exactly this request, as `request.muster`. */
export function onlyThroughTheGate({ issuer, audience, tenant = "default", keys, prefix = "" }) {
  const held = keys ?? new Keys(`${issuer}/tenants/${tenant}/jwks.json`);
  return function guarded(request, response, next) {
    try {
      request.muster = verifyAssertion(one(request, "muster-assertion"), {
        issuer,
        audience,
        tenant,
        keys: held,
        method: request.method,
        path: prefix + (request.originalUrl ?? request.url),
        decisionId: one(request, "muster-decision-id"),
      });
    } catch (error) {
      if (error instanceof Undecided) return tell(response, undecided(error));
      if (error instanceof Unproven) return tell(response, unproven(error));
      return next(error);
    }
    return next();
  };
}

// Where a token may go, and keys may come from: over a network by https alone, unless told so.
function address(text, plainHttp) {
  const url = new URL(text);
  const local = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  if (url.username || url.search || url.hash || !["http:", "https:"].includes(url.protocol)) {
    throw new TypeError("the service's address is https://HOST, or http://LOOPBACK:PORT");
  }
  if (url.protocol === "http:" && !local && !plainHttp) {
    throw new TypeError(`${url.hostname} is not this machine: use https, or plainHttp on a network you trust`);
  }
  return url;
}

// One exchange, whole, within a deadline that holds from the connection to the last byte.
function exchanged(url, options, body, timeoutMs) {
  return new Promise((resolve, reject) => {
    const failed = (cause, detail) => {
      clearTimeout(timer);
      reject(new Undecided(cause, detail));
      sent.destroy();
    };
    const timer = setTimeout(() => failed("timeout", `there was no answer within ${timeoutMs} ms`), timeoutMs);
    const sent = (url.startsWith("https:") ? https : http).request(url, options, (answer) => {
      const parts = [];
      let size = 0;
      answer.on("data", (part) => {
        size += part.length;
        if (size > MOST) failed("bad-answer", `the answer is longer than ${MOST} bytes`);
        else parts.push(part);
      });
      answer.on("error", (error) => failed("bad-answer", `the answer was cut off: ${error.message}`));
      answer.on("end", () => {
        clearTimeout(timer);
        if (!answer.complete) return failed("bad-answer", "the answer was cut off");
        return resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) });
      });
    });
    sent.on("error", (error) => failed("unreachable", error.message));
    sent.on("upgrade", () => failed("bad-answer", "the service wants to speak another protocol"));
    sent.end(body);
  });
}

function whom(subject) {
  return typeof subject === "string" ? { type: "user", id: subject } : subject;
}

// What a well-formed answer of this status says.
function read(answer, status, parse) {
  if (answer.status !== status) throw notAnswered(answer);
  if (typed(answer) !== "application/json" || answer.headers["content-encoding"] !== undefined) {
    throw new Undecided("bad-answer", "the answer is not application/json", { status });
  }
  try {
    return parse(table(answer.body));
  } catch (error) {
    if (!(error instanceof NotJSON)) throw error;
    throw new Undecided("bad-answer", `the answer cannot be believed: ${error.message}`, { status });
  }
}

function stored(value) {
  const texts = [value.request, value.expires_at, value.request_digest];
  need(texts.every((text) => typeof text === "string" && text !== ""), "it does not say what was stored");
  return { request: value.request, expiresAt: value.expires_at, requestDigest: value.request_digest, said: value };
}

function decision(value, base) {
  const { decision_id: id, allow, verdict, mode, denials, obligations, valid_until: until } = value;
  need(typeof id === "string" && /^[\x21-\x7e]{1,128}$/.test(id), "decision_id is no ID");
  need(allow === true || allow === false, "allow is neither true nor false");
  need(["allow", "deny"].includes(verdict) && ["enforce", "shadow"].includes(mode), "verdict or mode is not known");
  need(Array.isArray(denials) && Array.isArray(obligations), "denials or obligations are no list");
  need((verdict === "deny") === denials.length > 0, "denials contradict the verdict");
  need(allow === (verdict === "allow" || mode === "shadow"), "allow contradicts the verdict");
  need(until === undefined || until === null || typeof until === "string", "valid_until is no instant");
  return {
    decisionId: id, allow, verdict, mode, obligations, validUntil: until ?? null, said: value,
    denials: denials.map((each) => denial(each, base)),
  };
}

function denial(value, base) {
  const texts = [value?.code, value?.title, value?.message, value?.remedy?.kind];
  need(texts.every((text) => typeof text === "string" && text !== ""), "a denial is not as it should be");
  const { href } = value.remedy;
  need(href === undefined || href === null || (typeof href === "string" && href !== ""), "a remedy's href is no text");
  const remedy = { ...value.remedy, ...(href?.startsWith("/") && !href.startsWith("//") ? { href: base + href } : {}) };
  return { code: value.code, title: value.title, message: value.message, remedy };
}

function need(condition, what) {
  if (!condition) throw new NotJSON(what);
}

function typed(answer) {
  return String(answer.headers["content-type"] ?? "").split(";", 1)[0].trim().toLowerCase();
}

function notAnswered({ status, headers, body }) {
  let said = {};
  try {
    said = typed({ headers }) === "application/problem+json" ? table(body) : {};
  } catch (error) {
    if (!(error instanceof NotJSON)) throw error;
  }
  const text = (value) => (typeof value === "string" && value !== "" ? value : undefined);
  const detail = text(said.detail) ?? `the service answered ${status}`;
  if (REFUSALS.includes(status)) return new Undecided("refused", detail, { status });
  const cause = { 429: "rate", 503: text(said.cause) ?? "undecided" }[status] ?? "bad-answer";
  const after = /^\d{1,5}$/.test(headers["retry-after"] ?? "") ? Number(headers["retry-after"]) : 1;
  return new Undecided(cause, detail, {
    status, retryAfter: Math.min(3600, Math.max(1, after)), decisionId: text(said.decision_id),
  });
}

// A header that is there exactly once; one with `_` for `-` is the same to some servers, and refused.
function one(request, wanted) {
  const names = request.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase().replaceAll("_", "-"));
  const found = names.filter((name) => name === wanted).length;
  const value = request.headers[wanted];
  if (found !== 1 || typeof value !== "string") throw new Unproven(found ? "repeated" : "missing", `${wanted}: not once`);
  return value;
}

function denied(request, decided, hosts) {
  const wants = String(request.headers.accept ?? "").split(",").map((kind) => kind.split(";", 1)[0].trim().toLowerCase());
  const page = wants.includes("text/html") && !wants.some((kind) => /^application\/(problem\+)?json$/.test(kind));
  if (page && ["GET", "HEAD"].includes(request.method)) {
    const hrefs = decided.denials.map(({ remedy }) => remedy.href).filter((href) => /^https?:\/\/[\x21-\x7e]+$/.test(href));
    const href = hrefs.find((each) => URL.canParse(each) && hosts.includes(new URL(each).host));
    if (href !== undefined) return { status: 303, headers: { Location: href }, decisionId: decided.decisionId };
  }
  const [first] = decided.denials;
  return {
    status: 403, type: "denied", title: first.title, detail: first.message, code: first.code,
    decisionId: decided.decisionId, denials: decided.denials,
  };
}

function undecided({ cause, retryAfter, decisionId }) {
  return {
    status: 503, type: "undecided", title: "Could not decide", cause, decisionId,
    detail: "Whether you may do this could not be found out. Try again.", headers: { "Retry-After": String(retryAfter) },
  };
}

function unproven({ code }) {
  return {
    status: 403, type: "not-through-the-gate", title: "Not through the gate", code,
    detail: "This service is reached through its gateway only.",
  };
}

function nobody() {
  const headers = { "WWW-Authenticate": 'Bearer realm="muster"' };
  return { status: 401, type: "unauthenticated", title: "Who are you?", detail: "Sign in, and try again.", headers };
}

// A problem document (RFC 9457), or a redirect.
function tell(response, { status, headers = {}, decisionId, type, ...told }) {
  response.statusCode = status;
  const named = decisionId === undefined ? {} : { "Muster-Decision-Id": decisionId };
  for (const [name, value] of Object.entries({ "Cache-Control": "no-store", ...named, ...headers })) {
    response.setHeader(name, value);
  }
  if (type === undefined) return response.end();
  response.setHeader("Content-Type", "application/problem+json");
  const document = { type: `urn:muster:problem:${type}`, status, ...told, decision_id: decisionId };
  return response.end(JSON.stringify(document));
}
