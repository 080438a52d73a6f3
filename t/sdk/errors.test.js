'use strict';

// What the library makes of errors, and of the two kinds of credentials.

const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { RestException } = require('twilio');
const { account, administer, client, rejection } = require('./client');

const { sid: accountSid, token, api } = account();
let service;
let functions;

before(async () => {
  service = await api.services.create({ uniqueName: 'errors', friendlyName: 'Errors' });
  functions = api.services(service.sid).functions;
});

// The library's error has all four parts of the API's body.
function isError(error, status, code, message) {
  assert.ok(error instanceof RestException, `${error}`);
  assert.deepEqual(
    { status: error.status, code: error.code, message: error.message, moreInfo: error.moreInfo },
    { status, code, message, moreInfo: `https://www.twilio.com/docs/errors/${code}` });
}

test('401: a wrong token', async () => {
  const error = await rejection(client(accountSid, 'f'.repeat(32)).services.list());
  isError(error, 401, 20003, 'Authenticate');
});

test('401: an account that is not there', async () => {
  const error = await rejection(client(`AC${'0'.repeat(32)}`, token).services('errors').fetch());
  isError(error, 401, 20003, 'Authenticate');
});

test('404: a Service that is not there', async () => {
  const sid = `ZS${'0'.repeat(32)}`;
  isError(await rejection(api.services(sid).fetch()), 404, 20404,
    `The requested resource /Services/${sid} was not found`);
});

test('404: a Function that is not there', async () => {
  const sid = `ZH${'0'.repeat(32)}`;
  const one = api.services(service.sid).functions(sid);
  const message = `The requested resource /Services/${service.sid}/Functions/${sid} was not found`;
  isError(await rejection(one.fetch()), 404, 20404, message);
  isError(await rejection(one.update({ friendlyName: 'x' })), 404, 20404, message);
  isError(await rejection(one.remove()), 404, 20404, message);
});

test('404: another account\'s Service', async () => {
  isError(await rejection(account().api.services(service.sid).fetch()), 404, 20404,
    `The requested resource /Services/${service.sid} was not found`);
});

test('400: a name that is too long', async () => {
  isError(await rejection(functions.create({ friendlyName: 'x'.repeat(256) })), 400, 20001,
    'FriendlyName must not be longer than 255 characters');
});

test('400: an empty name', async () => {
  isError(await rejection(functions.create({ friendlyName: '' })), 400, 20001,
    'Missing required parameter FriendlyName in the post body');
});

test('400: a page that cannot be', async () => {
  isError(await rejection(api.services.page({ pageSize: 'abc' })), 400, 20001,
    'PageSize must be a whole number from 1 to 1000');
  isError(await rejection(api.services.page({ pageNumber: 1, pageToken: 'PTforged' })), 400, 20001,
    'PageToken is not valid for this list');
});

test('409: a UniqueName that is taken', async () => {
  isError(await rejection(api.services.create({ uniqueName: 'errors', friendlyName: 'Again' })), 409, 20409,
    'Service with this UniqueName already exists.');
});

test('an API key acts for its account, until it is revoked', async () => {
  const { API_KEY_SID: key, API_KEY_SECRET: secret } = administer('key', 'create', accountSid, 'sdk');
  const keyed = client(key, secret, { accountSid });
  assert.deepEqual((await keyed.services('errors').fetch()).toJSON(), service.toJSON());
  const made = await keyed.services('errors').functions.create({ friendlyName: 'by key' });
  assert.equal(made.accountSid, accountSid);
  assert.equal(await keyed.services('errors').functions(made.sid).remove(), true);

  isError(await rejection(client(key, 'f'.repeat(32), { accountSid }).services.list()), 401, 20003, 'Authenticate');
  administer('key', 'revoke', key);
  isError(await rejection(keyed.services('errors').fetch()), 401, 20003, 'Authenticate');
});
