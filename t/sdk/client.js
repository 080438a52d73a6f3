'use strict';

// Twilio's own client, aimed at the server under test; t/sdk.t says which.
const { execFileSync } = require('node:child_process');
const twilio = require('twilio');

// bin/serverless-admin's answer: { ACCOUNT_SID: 'AC...', AUTH_TOKEN: '...' }
function administer(...command) {
  const output = execFileSync(`${process.env.SOURCE}/bin/serverless-admin`,
    ['-d', `host=${process.env.DATABASE} dbname=serverless user=serverless_owner`, ...command],
    { encoding: 'utf8' });
  return Object.fromEntries(output.trim().split('\n').map((line) => line.split('=')));
}

// One value from the database, as its owner has it.
function sql(statement) {
  return execFileSync('psql', ['-XAt', '-v', 'ON_ERROR_STOP=1', '-c', statement,
    `host=${process.env.DATABASE} dbname=serverless user=serverless_owner`], { encoding: 'utf8' }).trim();
}

// A client with these credentials: an account's, or an API key's and accountSid.
function client(username, password, options) {
  const made = twilio(username, password, options);
  made.serverless.baseUrl = process.env.BASE_URL;
  return made.serverless.v1;
}

// A new account: its SID, its token and a client of it.
function account() {
  const { ACCOUNT_SID: sid, AUTH_TOKEN: token } = administer('account', 'create', 'sdk');
  return { sid, token, api: client(sid, token) };
}

// What a promise is rejected with.
async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('this should have failed');
}

module.exports = { account, administer, client, rejection, sql };
