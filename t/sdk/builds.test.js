'use strict';

// From an uploaded Version to a Build on an Environment and back. The library has
// no method for the upload; it is fetch()'s.
const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { account, rejection } = require('./client');

const { sid: accountSid, token, api } = account();
const source = 'exports.handler = (context, event, callback) => callback(null, "Zürich 🚀");\n';
let service;
let hello;
let serviceUrl;

before(async () => {
  service = await api.services.create({ uniqueName: 'builds', friendlyName: 'Builds' });
  hello = await api.services(service.sid).functions.create({ friendlyName: '/hello' });
  serviceUrl = `${process.env.BASE_URL}/v1/Services/${service.sid}`;
});

async function upload(path, content = source, visibility = 'public') {
  const form = new FormData();
  form.set('Path', path);
  form.set('Visibility', visibility);
  form.set('Content', new Blob([content], { type: 'application/javascript' }), 'hello.js');
  const answer = await fetch(`${serviceUrl}/Functions/${hello.sid}/Versions`, {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(`${accountSid}:${token}`).toString('base64')}` },
    body: form,
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).sid;
}

const versions = () => api.services(service.sid).functions(hello.sid).functionVersions;
const builds = () => api.services(service.sid).builds;
const environments = () => api.services(service.sid).environments;

async function completed(...functionVersions) {
  const { sid } = await builds().create({ functionVersions });
  let status;
  do {
    await sleep(20);
    ({ status } = await builds()(sid).buildStatus().fetch());
  } while (status === 'building');
  assert.equal(status, 'completed');
  return builds()(sid).fetch();
}

test('Versions are listed, newest first, and fetched', async () => {
  const first = await upload('/first', source, 'Protected');
  const second = await upload('second');
  const list = await versions().list();
  assert.deepEqual(list.slice(0, 2).map((version) => version.sid), [second, first]);
  assert.deepEqual((await versions().list({ limit: 1 })).map((version) => version.sid), [second]);

  const fetched = await versions()(first).fetch();
  assert.ok(fetched.dateCreated instanceof Date);
  const url = `${serviceUrl}/Functions/${hello.sid}/Versions/${first}`;
  assert.deepEqual(fetched.toJSON(), {
    sid: first,
    accountSid,
    serviceSid: service.sid,
    functionSid: hello.sid,
    path: '/first',
    visibility: 'protected',
    dateCreated: fetched.dateCreated,
    url,
    links: { function_version_content: `${url}/Content` },
  });
  assert.deepEqual(list[1].toJSON(), fetched.toJSON());
});

test('a Version\'s content comes back as it was uploaded', async () => {
  const sid = await upload('/content');
  const content = await versions()(sid).functionVersionContent().fetch();
  assert.deepEqual(content.toJSON(), {
    sid,
    accountSid,
    serviceSid: service.sid,
    functionSid: hello.sid,
    content: source,
    url: `${serviceUrl}/Functions/${hello.sid}/Versions/${sid}/Content`,
  });
});

test('a Build is created, completes, is fetched and listed', async () => {
  const [first, second] = [await upload('/one'), await upload('/two', source, 'private')];
  const created = await builds().create({
    functionVersions: [first, second],
    dependencies: JSON.stringify([{ name: 'lodash', version: '4.17.21' }]),
    runtime: 'node20',
  });
  const url = `${serviceUrl}/Builds/${created.sid}`;
  const contained = await Promise.all([first, second].map((sid) => versions()(sid).fetch()));
  assert.deepEqual(created.toJSON(), {
    sid: created.sid,
    accountSid,
    serviceSid: service.sid,
    status: 'building',
    assetVersions: [],
    functionVersions: contained.map((version) => ({
      sid: version.sid,
      account_sid: accountSid,
      service_sid: service.sid,
      function_sid: hello.sid,
      date_created: version.dateCreated.toISOString().replace('.000', ''),
      path: version.path,
      visibility: version.visibility.toUpperCase(),
    })),
    dependencies: [{ name: 'lodash', version: '4.17.21' }],
    runtime: 'node20',
    dateCreated: created.dateCreated,
    dateUpdated: created.dateUpdated,
    url,
    links: { build_status: `${url}/Status` },
  });

  let status;
  do {
    await sleep(20);
    status = await builds()(created.sid).buildStatus().fetch();
  } while (status.status === 'building');
  assert.deepEqual(status.toJSON(), {
    sid: created.sid, accountSid, serviceSid: service.sid, status: 'completed', url: `${url}/Status`,
  });
  const fetched = await builds()(created.sid).fetch();
  assert.deepEqual(fetched.toJSON(),
    { ...created.toJSON(), status: 'completed', dateUpdated: fetched.dateUpdated });
  assert.deepEqual((await builds().list({ limit: 1 }))[0].toJSON(), fetched.toJSON());
});

test('a Build without Versions is refused', async () => {
  const error = await rejection(builds().create({ runtime: 'node20' }));
  assert.equal(error.status, 400);
  assert.equal(error.code, 20001);
  assert.equal(error.message, 'At least one Function Version or Asset Version is required for Build.');
});

test('a Build is removed', async () => {
  const build = await completed(await upload('/removed'));
  assert.equal(await builds()(build.sid).remove(), true);
  assert.equal((await rejection(builds()(build.sid).fetch())).status, 404);
});

test('an Environment is created, fetched, listed and removed', async () => {
  const created = await environments().create({ uniqueName: 'stage-environment', domainSuffix: 'stage' });
  const url = `${serviceUrl}/Environments/${created.sid}`;
  assert.deepEqual(created.toJSON(), {
    sid: created.sid,
    accountSid,
    serviceSid: service.sid,
    buildSid: null,
    uniqueName: 'stage-environment',
    domainSuffix: 'stage',
    domainName: `${service.domainBase}-stage.twil.io`,
    dateCreated: created.dateCreated,
    dateUpdated: created.dateUpdated,
    url,
    links: { variables: `${url}/Variables`, deployments: `${url}/Deployments`, logs: `${url}/Logs` },
  });
  assert.deepEqual((await environments()(created.sid).fetch()).toJSON(), created.toJSON());
  assert.deepEqual((await environments().list()).map((one) => one.toJSON()), [created.toJSON()]);

  const error = await rejection(environments().create({ uniqueName: 'other', domainSuffix: 'stage' }));
  assert.equal(error.status, 409);
  assert.equal(error.message, 'Environment with this UniqueName or DomainSuffix already exists.');
  assert.equal(await environments()(created.sid).remove(), true);
  assert.deepEqual(await environments().list(), []);
});

test('a Build is deployed, and taken away again', async () => {
  const build = await completed(await upload('/deployed'));
  const production = await environments().create({ uniqueName: 'production' });
  assert.equal(production.domainSuffix, null);
  assert.equal(production.domainName, `${service.domainBase}.twil.io`);
  const { deployments } = environments()(production.sid);

  const created = await deployments.create({ buildSid: build.sid });
  assert.deepEqual(created.toJSON(), {
    sid: created.sid,
    accountSid,
    serviceSid: service.sid,
    environmentSid: production.sid,
    buildSid: build.sid,
    dateCreated: created.dateCreated,
    dateUpdated: created.dateUpdated,
    url: `${serviceUrl}/Environments/${production.sid}/Deployments/${created.sid}`,
  });
  assert.deepEqual((await deployments(created.sid).fetch()).toJSON(), created.toJSON());
  assert.equal((await environments()(production.sid).fetch()).buildSid, build.sid);

  const again = await rejection(deployments.create({ buildSid: build.sid }));
  assert.equal(again.status, 409);
  assert.equal(again.message, 'Environment already has requested deployment');
  const kept = await rejection(builds()(build.sid).remove());
  assert.equal(kept.status, 409);
  assert.deepEqual(kept.details, { environments: [production.sid] });

  const none = await deployments.create({});
  assert.equal(none.buildSid, null);
  assert.deepEqual((await deployments.list()).map((one) => one.sid), [none.sid, created.sid]);
  assert.equal((await environments()(production.sid).fetch()).buildSid, null);
  assert.equal(await builds()(build.sid).remove(), true);
  assert.equal(await environments()(production.sid).remove(), true);
});
