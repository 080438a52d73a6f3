// Functions by way of postgres.js, which prepares every statement and pipelines what waits.
'use strict';

const postgres = require('postgres');
const identity = require('./identity.js');

const FOREIGN_KEY_VIOLATION = '23503';

module.exports = ({ database, pool: max }) => {
  const sql = postgres({
    host: database.searchParams.get('host'),
    database: database.pathname.slice(1),
    username: database.username,
    max,
    fetch_types: false,
  });

  return {
    fetch: async (service, id) =>
      (
        await sql`SELECT id, friendly_name, date_created, date_updated FROM bench.functions
                   WHERE service_id = ${service} AND id = ${id}`
      )[0],
    async list(service, from, limit) {
      if (!from) {
        return sql`SELECT id, friendly_name, date_created, date_updated FROM bench.functions
                    WHERE service_id = ${service} ORDER BY id DESC LIMIT ${limit}`;
      }
      if (from.at) {
        return sql`SELECT id, friendly_name, date_created, date_updated FROM bench.functions
                    WHERE service_id = ${service} AND id <= ${from.at}
                    ORDER BY id DESC LIMIT ${limit}`;
      }
      return sql`SELECT * FROM (
                     SELECT id, friendly_name, date_created, date_updated FROM bench.functions
                      WHERE service_id = ${service} AND id > ${from.before}
                      ORDER BY id LIMIT ${limit}) AS newer
                  ORDER BY id DESC`;
    },
    async create(service, name) {
      try {
        return (
          await sql`INSERT INTO bench.functions
                           (service_id, id, friendly_name, date_created, date_updated)
                    VALUES (${service}, ${identity()}, ${name}, now(), now())
                    RETURNING id, friendly_name, date_created, date_updated`
        )[0];
      } catch (error) {
        if (error.code === FOREIGN_KEY_VIOLATION) return undefined;
        throw error;
      }
    },
    update: async (service, id, name) =>
      (
        await sql`UPDATE bench.functions SET friendly_name = ${name}, date_updated = now()
                   WHERE service_id = ${service} AND id = ${id}
                  RETURNING id, friendly_name, date_created, date_updated`
      )[0],
    remove: async (service, id) =>
      (await sql`DELETE FROM bench.functions WHERE service_id = ${service} AND id = ${id}`).count >
      0,
  };
};
