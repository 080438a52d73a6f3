// The first argument of a handler, `context`, and process.env.
'use strict';

const { hasOwn, keysOf, startsWith } = require('./builtins');

// Variables of these names are not put into process.env: Node.js and its child processes depend on them.
const isKept = (name) => name === 'PATH' || name === 'HOME' || startsWith(name, 'NODE_') || startsWith(name, 'LD_');

let inEnvironment = {}; // Variables that are in process.env

// Makes process.env have the Variables of a call and its credentials, if it has some, and no longer those of an earlier
// call that are gone.
function refreshEnvironment(head) {
  const { env } = process;
  const variables = head.token === null ? head.variables
    : { ...head.variables, ACCOUNT_SID: head.account, AUTH_TOKEN: head.token };
  const names = keysOf(variables);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (env[name] !== variables[name] && !isKept(name)) {
      env[name] = variables[name];
    }
  }
  const earlier = keysOf(inEnvironment);
  for (let i = 0; i < earlier.length; i++) {
    if (!hasOwn(variables, earlier[i]) && !isKept(earlier[i])) {
      delete env[earlier[i]];
    }
  }
  inEnvironment = variables;
}

// Returns the context of a call. A Variable replaces none of the names that the platform sets, but ACCOUNT_SID and
// AUTH_TOKEN where the call has no credentials.
function contextOf(head, getTwilioClient) {
  const context = { PATH: '', DOMAIN_NAME: '', SERVICE_SID: '', ENVIRONMENT_SID: '', ACCOUNT_SID: null, AUTH_TOKEN: null };
  const names = keysOf(head.variables);
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== '__proto__') {
      context[names[i]] = head.variables[names[i]];
    }
  }
  context.PATH = head.path;
  context.DOMAIN_NAME = head.domain;
  context.SERVICE_SID = head.service;
  context.ENVIRONMENT_SID = head.environment;
  if (head.token !== null) {
    context.ACCOUNT_SID = head.account;
    context.AUTH_TOKEN = head.token;
  }
  context.getTwilioClient = (options) => getTwilioClient(context, options);
  return context;
}

module.exports = { contextOf, refreshEnvironment };
