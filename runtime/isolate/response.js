// Twilio.Response: status, headers, cookies and body of an answer.
'use strict';

const { hasOwn, isArray, keysOf, lowerCase, join, push } = require('./builtins');

const isCookies = (name) => lowerCase(name) === 'set-cookie';

// Header values are strings and numbers, or arrays of these.
function checkValue(value) {
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      checkValue(value[i]);
    }
  } else if (typeof value === 'object' && value !== null) {
    throw new Error('Header value cannot be an object');
  }
}

class Response {
  constructor({ statusCode = 200, body = null, headers = {} } = {}) {
    this.statusCode = statusCode;
    this.body = body;
    this.headers = {};
    this.setHeaders(headers);
  }

  setStatusCode(statusCode) {
    this.statusCode = statusCode;
    return this;
  }

  setBody(body) {
    this.body = body;
    return this;
  }

  // Replaces all headers, and so all cookies.
  setHeaders(headers) {
    if (typeof headers !== 'object' || headers === null) {
      return this;
    }
    this.headers = {};
    const names = keysOf(headers);
    for (let i = 0; i < names.length; i++) {
      this.appendHeader(names[i], headers[names[i]]);
    }
    return this;
  }

  // Adds a header, or a value to a header that was set.
  appendHeader(name, value) {
    checkValue(value);
    const key = isCookies(name) ? 'Set-Cookie' : name;
    const values = hasOwn(this.headers, key) ? [].concat(this.headers[key], value) : value;
    this.headers[key] = isArray(values) ? [].concat(values) : values;
    return this;
  }

  // Adds a cookie. `attributes` are texts such as 'Max-Age=60'.
  setCookie(name, value, attributes = []) {
    const parts = [`${name}=${value}`];
    for (let i = 0; i < attributes.length; i++) {
      push(parts, attributes[i]);
    }
    return this.appendHeader('Set-Cookie', join(parts, ';'));
  }

  // Has the client forget a cookie.
  removeCookie(name) {
    return this.setCookie(name, '', ['Max-Age=0']);
  }
}

module.exports = { Response };
