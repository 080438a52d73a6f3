// The second argument of a handler, `event`: the parameters of the query and of the body, and event.request.
'use strict';

const querystring = require('querystring');
const {
  bytesOf, decodeURIComponent, defineProperty, endsWith, hasOwn, includes, indexOf, isArray, keysOf,
  lowerCase, parse, push, replaceAll, slice, split, startsWith, textOf, trim,
} = require('./builtins');

const { unescape } = querystring;
const decoder = new TextDecoder('utf-8', { fatal: true });
const decode = decoder.decode.bind(decoder);

// Says why a body is no event: the answer is 400.
class BadRequest extends Error {}

// `request` belongs to the isolate: a client could forge headers by a parameter of that name.
const isReserved = (name) => name === 'request' || name === '__proto__';

// Sets an own data property, and adds to an array where the name was there already.
function add(object, name, value) {
  if (!hasOwn(object, name)) {
    object[name] = value;
  } else if (isArray(object[name])) {
    push(object[name], value);
  } else {
    object[name] = [object[name], value];
  }
}

// Decodes a name or value of a query. Text that is not percent-encoded UTF-8 stays as it stands.
function decodeQuery(text) {
  const spaced = replaceAll(text, '+', ' ');
  if (!includes(spaced, '%')) {
    return spaced;
  }
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

// Decodes a name or value of a form. Bytes that are not UTF-8 become U+FFFD.
const decodeForm = (text) => unescape(replaceAll(text, '+', ' '));

// Returns the parameters of a query or form, as { name: value or array of values }. Brackets have no meaning.
function parameters(text, decodePart) {
  const found = {};
  const pairs = split(text, '&');
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i];
    if (pair === '') {
      continue;
    }
    const equals = indexOf(pair, '=');
    const name = decodePart(equals < 0 ? pair : slice(pair, 0, equals));
    if (!isReserved(name)) {
      add(found, name, equals < 0 ? '' : decodePart(slice(pair, equals + 1)));
    }
  }
  return found;
}

// Copies the members of an object or array into the event, and replaces those of the same name.
function merge(event, members) {
  const names = keysOf(members);
  for (let i = 0; i < names.length; i++) {
    if (!isReserved(names[i])) {
      event[names[i]] = members[names[i]];
    }
  }
}

// Returns the members of a JSON body. Throws BadRequest where it is neither an object nor an array.
function jsonMembers(body) {
  let value;
  try {
    value = parse(decode(body));
  } catch (error) {
    throw new BadRequest(`The body is no JSON: ${error.message}`);
  }
  if (typeof value !== 'object' || value === null) {
    throw new BadRequest('The body is JSON, but neither an object nor an array');
  }
  return value;
}

// Returns the media type of a Content-Type, without parameters and in lower case.
function mediaType(type) {
  const semicolon = indexOf(type, ';');
  return lowerCase(trim(semicolon < 0 ? type : slice(type, 0, semicolon)));
}

function mergeBody(event, type, body) {
  if (body.length === 0 || !type) {
    return;
  }
  switch (mediaType(type)) {
    case 'application/json':
      merge(event, jsonMembers(body));
      break;
    case 'application/x-www-form-urlencoded':
      merge(event, parameters(textOf(body), decodeForm));
      break;
    default: // no parameters; the bytes are in event.request.rawBody
  }
}

// Returns the value of a cookie: without quotes, percent-decoded if it is decodable.
function cookieValue(text) {
  const value = text.length > 1 && startsWith(text, '"') && endsWith(text, '"') ? slice(text, 1, -1) : text;
  if (!includes(value, '%')) {
    return value;
  }
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

// Adds the cookies of one header. The first of equal names counts.
function addCookies(cookies, header) {
  const pairs = split(header, ';');
  for (let i = 0; i < pairs.length; i++) {
    const equals = indexOf(pairs[i], '=');
    const name = equals < 0 ? '' : trim(slice(pairs[i], 0, equals));
    if (name !== '' && name !== '__proto__' && !hasOwn(cookies, name)) {
      cookies[name] = cookieValue(trim(slice(pairs[i], equals + 1)));
    }
  }
}

function hide(object, name, value) {
  defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
}

// Returns event.request of the head of a call. `headers` and `cookies` are enumerable, the additions of this server
// are not: method, url, rawBody, user.
function requestOf(head, body) {
  const request = { headers: {}, cookies: {} };
  for (let i = 0; i < head.headers.length; i++) {
    const name = lowerCase(head.headers[i][0]);
    const value = head.headers[i][1];
    if (name === 'cookie') {
      addCookies(request.cookies, value);
    }
    if (name !== '__proto__') {
      add(request.headers, name, value);
    }
  }
  hide(request, 'method', head.method);
  hide(request, 'url', head.url);
  hide(request, 'rawBody', body);
  hide(request, 'user', head.user);
  return request;
}

// Returns the event of a call. `body` is copied. Throws BadRequest where the body is not what its type says.
function eventOf(head, body) {
  const own = bytesOf(body);
  const event = { request: requestOf(head, own) };
  if (head.query) {
    merge(event, parameters(head.query, decodeQuery));
  }
  mergeBody(event, head.type, own);
  return event;
}

module.exports = { BadRequest, eventOf };
