/** The fields of an event as names and values for people. */

import { element, printable } from "/text.js";

/** Characters of one value, and fields of one event, that a row shows. */
const SHORT = 160;
const SHORT_FIELDS = 8;
const DEEPEST = 3;

/** The fields of an event but `type`, as a list of names and values. A short one ends with how much it leaves out. */
export function fieldList(event, isShort) {
  const fields = flat(event).filter(([name]) => name !== "type");
  const shown = isShort ? fields.slice(0, SHORT_FIELDS) : fields;
  const list = element("dl", isShort ? "rest" : "fields");
  for (const [name, value] of shown) {
    const text = shortened(printable(value), isShort);
    list.append(element("div", "", "", element("dt", "", printable(name)), " ", element("dd", "", text)));
  }
  if (shown.length < fields.length) {
    const more = `${fields.length - shown.length} more`;
    list.append(element("div", "", "", element("dt", "", "…"), " ", element("dd", "", more)));
  }
  return list;
}

function shortened(text, isShort) {
  return isShort && text.length > SHORT ? `${text.slice(0, SHORT)}…` : text;
}

/** [name, text] of each value; those of an object within have names as `shop.city`. */
function flat(object, before = "", depth = 1) {
  return Object.entries(object).flatMap(([key, value]) => {
    const name = before + key;
    const isInner = isPlain(value) && depth < DEEPEST && Object.keys(value).length > 0;
    return isInner ? flat(value, `${name}.`, depth + 1) : [[name, textOf(value)]];
  });
}

function isPlain(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRaw(value);
}

/** Whether it is a number that JavaScript would round, see readJson. */
function isRaw(value) {
  return JSON.isRawJSON?.(value) === true;
}

function textOf(value) {
  if (typeof value === "string") return value === "" ? "(empty)" : value;
  if (value === null) return "(none)";
  const isList = Array.isArray(value) && value.length > 0 && value.every((item) => typeof item !== "object" || isRaw(item));
  return isList ? value.map(textOf).join(", ") : JSON.stringify(value);
}
