import type { KeyObject } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

export interface Entity {
  type: string;
  id: string;
  properties?: Record<string, unknown>;
}

export interface Remedy {
  kind: string;
  /** Whole: the service's address was added where it was a path. */
  href?: string | null;
  [said: string]: unknown;
}

export interface Denial {
  code: string;
  title: string;
  message: string;
  remedy: Remedy;
}

/** A recorded decision. `allow` is what to go by; `verdict` differs from it only while a gate is in shadow mode. */
export interface Decision {
  decisionId: string;
  allow: boolean;
  verdict: "allow" | "deny";
  mode: "enforce" | "shadow";
  denials: Denial[];
  obligations: unknown[];
  validUntil: string | null;
  said: Record<string, unknown>;
}

/** A request that a gateway's ask can cite, by its ID, until it expires. */
export interface Stored {
  request: string;
  expiresAt: string;
  requestDigest: string;
  said: Record<string, unknown>;
}

/** It is not known whether this may be done: do not do it. */
export class Undecided extends Error {
  /** timeout, unreachable, bad-answer, refused, no-token, rate, no-keys, or what the service gave as the cause of its 503. */
  cause: string;
  status?: number;
  /** Seconds. */
  retryAfter: number;
  decisionId?: string;
}

/** This request is not shown to have passed the gate. */
export class Unproven extends Error {
  code: string;
}

export class Client {
  constructor(
    baseUrl: string,
    options: { token: string | (() => string | Promise<string>); timeoutMs?: number; plainHttp?: boolean; ca?: string },
  );
  readonly baseUrl: string;
  readonly timeoutMs: number;
  /** May this be done now? A subject that is a string is the ID of a user. Rejects with Undecided. */
  decide(
    subject: string | Entity,
    action: string,
    resource: Entity,
    context?: Record<string, unknown>,
    options?: { requestId?: string },
  ): Promise<Decision>;
  /** Store a request beforehand, for a gateway's ask to cite; under one `key` it is one. Rejects with Undecided: then it may have been stored. */
  store(
    subject: string | Entity,
    action: string,
    resource: Entity,
    context?: Record<string, unknown>,
    options?: { expiresIn?: string; key?: string; requestId?: string },
  ): Promise<Stored>;
  close(): void;
}

type Next = (error?: unknown) => void;
type Of<Request, T> = T | ((request: Request) => T | Promise<T>);

/** Express-style middleware that asks; the decision is at `request.muster`. */
export function require<Request extends IncomingMessage = IncomingMessage>(
  action: string,
  options: {
    client: Client;
    subject: Of<Request, string | Entity | null | undefined>;
    resource: Of<Request, Entity>;
    context?: Of<Request, Record<string, unknown>>;
    remedyHosts?: string[];
  },
): (request: Request, response: ServerResponse, next: Next) => Promise<unknown>;

export interface Claims {
  iss: string;
  tenant: string;
  aud: string;
  jti: string;
  sub: string;
  sub_type: string;
  action: string;
  htm: string;
  path_sha256: string;
  iat: number;
  exp: number;
}

interface KeyRing {
  get(kid: string): KeyObject | undefined;
}

/** The keys of a tenant (`/tenants/{tenant}/jwks.json`), fetched in the background and kept. */
export class Keys implements KeyRing {
  constructor(url: string, options?: { plainHttp?: boolean });
  readonly url: string;
  get(kid: string): KeyObject | undefined;
  close(): void;
}

/** The Ed25519 keys of a JWKS document by name. */
export function parseKeys(bytes: Uint8Array): Map<string, KeyObject>;

/** The claims of this request's assertion; throws Unproven. */
export function verifyAssertion(
  token: string,
  expected: {
    issuer: string;
    audience: string;
    tenant?: string;
    keys: KeyRing;
    method: string;
    path: string;
    decisionId: string;
    now?: number;
  },
): Claims;

/** Express-style middleware that lets in only what passed the gate; the claims are at `request.muster`. */
export function onlyThroughTheGate(options: {
  issuer: string;
  audience: string;
  tenant?: string;
  keys?: KeyRing;
  prefix?: string;
}): (request: IncomingMessage, response: ServerResponse, next: Next) => unknown;
