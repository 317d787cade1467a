// JSON as it has to be to be believed: one object, no member twice. JSON.parse keeps the last of two members, so what
// it has read is held against what stands there.

export class NotJSON extends Error {}

/** The object that these bytes are; throws NotJSON. */
export function table(bytes) {
  let value, text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw new NotJSON("it is not JSON");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new NotJSON("it is not a JSON object");
  if (membersWritten(text) !== membersKept(value)) throw new NotJSON("a member is there twice");
  return value;
}

// In text that is JSON, a colon outside of strings stands for exactly one member.
function membersWritten(text) {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === ":") count += 1;
    if (sign !== '"') continue;
    for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
  }
  return count;
}

// `__proto__` is an own member of what JSON.parse makes, so it is counted like any other.
function membersKept(value) {
  let count = 0;
  const open = [value];
  while (open.length > 0) {
    const each = open.pop();
    if (each === null || typeof each !== "object") continue;
    const inside = Object.values(each);
    if (!Array.isArray(each)) count += inside.length;
    for (const one of inside) open.push(one);
  }
  return count;
}
