// The Functions of the API in Fastify, over a store: the same routes and the same bytes as the module,
// without authentication. The routes are checked and serialised by schema, as Fastify's authors advise.
'use strict';

const fastify = require('fastify');
const formbody = require('@fastify/formbody');
const pageToken = require('./page_token.js');

const PREFIX = '/v1/Services';
const PAGE_SIZE_MAX = 1000;

const sid = (prefix) => ({ type: 'string', pattern: `^${prefix}[0-9a-fA-F]{32}$` });
const text = { type: 'string' };
const nullable = { type: ['string', 'null'] };

const listOf = { type: 'object', properties: { service: sid('ZS') } };
const one = { type: 'object', properties: { service: sid('ZS'), function: sid('ZH') } };
const form = {
  type: 'object',
  required: ['FriendlyName'],
  properties: { FriendlyName: { type: 'string', minLength: 1, maxLength: 255 } },
};
const page = {
  type: 'object',
  properties: {
    PageSize: { type: 'integer', minimum: 1, default: 50 },
    Page: { type: 'integer', minimum: 0, default: 0 },
    PageToken: { type: 'string' },
  },
};

const resource = {
  type: 'object',
  properties: {
    sid: text,
    account_sid: text,
    service_sid: text,
    friendly_name: text,
    date_created: text,
    date_updated: text,
    url: text,
    links: { type: 'object', properties: { function_versions: text } },
  },
};
const list = {
  type: 'object',
  properties: {
    functions: { type: 'array', items: resource },
    meta: {
      type: 'object',
      properties: {
        first_page_url: text,
        key: text,
        next_page_url: nullable,
        page: { type: 'integer' },
        page_size: { type: 'integer' },
        previous_page_url: nullable,
        url: text,
      },
    },
  },
};

const uuidOf = (sid) => sid.slice(2).toLowerCase();
const sidOf = (prefix, uuid) => prefix + uuid.replaceAll('-', '');
const dateOf = (date) => `${date.toISOString().slice(0, 19)}Z`;

module.exports = (store, accountSid, pageTokenKey) => {
  const app = fastify();
  const tokens = pageToken(pageTokenKey, accountSid);

  const urlOf = (request, serviceSid) =>
    `http://${request.headers.host}${PREFIX}/${serviceSid}/Functions`;

  function render(row, serviceSid, listUrl) {
    const own = sidOf('ZH', row.id);
    const url = `${listUrl}/${own}`;

    return {
      sid: own,
      account_sid: accountSid,
      service_sid: serviceSid,
      friendly_name: row.friendly_name,
      date_created: dateOf(row.date_created),
      date_updated: dateOf(row.date_updated),
      url,
      links: { function_versions: `${url}/Versions` },
    };
  }

  function answer(request, reply, row) {
    if (!row) return reply.callNotFound();
    const serviceSid = sidOf('ZS', uuidOf(request.params.service));
    return render(row, serviceSid, urlOf(request, serviceSid));
  }

  app.register(formbody);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.slice('/v1'.length).split('?')[0];

    reply.code(404).send({
      code: 20404,
      message: `The requested resource ${path} was not found`,
      more_info: 'https://www.twilio.com/docs/errors/20404',
      status: 404,
    });
  });

  app.get(
    `${PREFIX}/:service/Functions/:function`,
    { schema: { params: one, response: { 200: resource } } },
    async (request, reply) => {
      const { service, function: id } = request.params;

      return answer(request, reply, await store.fetch(uuidOf(service), uuidOf(id)));
    },
  );

  app.get(
    `${PREFIX}/:service/Functions`,
    { schema: { params: listOf, querystring: page, response: { 200: list } } },
    async (request, reply) => {
      const service = uuidOf(request.params.service);
      const serviceSid = sidOf('ZS', service);
      const url = urlOf(request, serviceSid);
      const path = `/Services/${serviceSid}/Functions`;
      const { Page: number, PageToken: token } = request.query;
      const size = Math.min(request.query.PageSize, PAGE_SIZE_MAX);
      const from = token ? tokens.read(path, token) : null;

      if (token && !from) return reply.code(400).send({ message: 'PageToken is not valid' });
      const rows = await store.list(service, from, size + 1);
      const next = rows.length > size ? rows.pop() : null;
      const pageUrl = (number, token) =>
        `${url}?PageSize=${size}&Page=${number}${token ? `&PageToken=${token}` : ''}`;

      return {
        functions: rows.map((row) => render(row, serviceSid, url)),
        meta: {
          first_page_url: pageUrl(0),
          key: 'functions',
          next_page_url: next ? pageUrl(number + 1, tokens.next(path, next.id)) : null,
          page: number,
          page_size: size,
          previous_page_url:
            number > 0 && rows.length > 0
              ? pageUrl(number - 1, tokens.previous(path, rows[0].id))
              : null,
          url: pageUrl(number, token),
        },
      };
    },
  );

  app.post(
    `${PREFIX}/:service/Functions`,
    { schema: { params: listOf, body: form, response: { 201: resource } } },
    async (request, reply) => {
      const { service } = request.params;
      const row = await store.create(uuidOf(service), request.body.FriendlyName);
      const body = answer(request, reply.code(201), row);

      if (row) reply.header('Location', body.url);
      return body;
    },
  );

  app.post(
    `${PREFIX}/:service/Functions/:function`,
    { schema: { params: one, body: form, response: { 200: resource } } },
    async (request, reply) => {
      const { service, function: id } = request.params;
      const { FriendlyName: name } = request.body;

      return answer(request, reply, await store.update(uuidOf(service), uuidOf(id), name));
    },
  );

  app.delete(
    `${PREFIX}/:service/Functions/:function`,
    { schema: { params: one } },
    async (request, reply) => {
      const { service, function: id } = request.params;

      if (!(await store.remove(uuidOf(service), uuidOf(id)))) return reply.callNotFound();
      return reply.code(204).send();
    },
  );

  return app;
};
