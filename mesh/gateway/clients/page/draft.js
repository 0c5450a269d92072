/** Reads the inputs of the form as one event. The limits are those of the node's log. */

const MAX_EVENT_BYTES = 256 * 1024;
const MAX_NESTING = 32;
const EXAMPLE = 'Write it like {"litres": 2}.';

/** The inputs are not an event; the message is shown to the user, `field` names the input to correct. */
export class DraftError extends Error {
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

/**
 * The JSON text of the event: from a type and optional fields, or from a whole event in one of the two inputs.
 * JSON text is kept as it was typed. Throws DraftError.
 */
export function readDraft(type, fields) {
  type = type.trim();
  fields = fields.trim();
  if (type.startsWith("{") && !fields) return checked(type, readObject(type, "type"), "type");
  const object = fields ? readObject(fields, "fields") : {};
  if (!type) {
    if (!fields) throw new DraftError("An event needs a type, such as milk.", "type");
    return checked(fields, object, "type");
  }
  if (Object.hasOwn(object, "type")) {
    throw new DraftError("The type is given twice: leave one of the two out.", "fields");
  }
  const inner = fields.slice(1, -1).trim();
  const text = `{"type":${JSON.stringify(type)}${inner ? "," + inner : ""}}`;
  return checked(text, { type, ...object }, "fields");
}

function readObject(text, field) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DraftError(`This is not JSON: ${error.message}. ${EXAMPLE}`, field);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DraftError(`Fields must be a JSON object. ${EXAMPLE}`, field);
  }
  return value;
}

function checked(text, event, field) {
  if (!Object.hasOwn(event, "type")) throw new DraftError("An event needs a type: fill in Type as well.", field);
  if (typeof event.type !== "string") throw new DraftError("The type of an event must be a string.", field);
  const size = new TextEncoder().encode(text).length;
  if (size > MAX_EVENT_BYTES) {
    throw new DraftError(`The event has ${size} bytes, and a log takes at most ${MAX_EVENT_BYTES}.`, field);
  }
  checkValue(event, 1, field);
  return text;
}

function checkValue(value, depth, field) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new DraftError("A number is too large.", field);
  if (typeof value === "string" && /\p{Cs}/u.test(value)) {
    throw new DraftError("A text holds half a character (a lone surrogate): remove it.", field);
  }
  if (typeof value !== "object" || value === null) return;
  if (depth > MAX_NESTING) throw new DraftError(`The event is nested deeper than ${MAX_NESTING}.`, field);
  for (const [key, item] of Object.entries(value)) {
    checkValue(key, depth, field);
    checkValue(item, depth + 1, field);
  }
}
