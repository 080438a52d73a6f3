// Functions by way of pg: named statements, so that each connection prepares them once.
'use strict';

const { Pool } = require('pg');
const identity = require('./identity.js');

const COLUMNS = 'id, friendly_name, date_created, date_updated';

const statements = {
  fetch: `SELECT ${COLUMNS} FROM bench.functions WHERE service_id = $1 AND id = $2`,
  newest: `SELECT ${COLUMNS} FROM bench.functions WHERE service_id = $1
           ORDER BY id DESC LIMIT $2`,
  at: `SELECT ${COLUMNS} FROM bench.functions WHERE service_id = $1 AND id <= $2
       ORDER BY id DESC LIMIT $3`,
  before: `SELECT * FROM (SELECT ${COLUMNS} FROM bench.functions WHERE service_id = $1 AND id > $2
           ORDER BY id LIMIT $3) AS newer ORDER BY id DESC`,
  create: `INSERT INTO bench.functions (service_id, id, friendly_name, date_created, date_updated)
           VALUES ($1, $2, $3, now(), now()) RETURNING ${COLUMNS}`,
  update: `UPDATE bench.functions SET friendly_name = $3, date_updated = now()
           WHERE service_id = $1 AND id = $2 RETURNING ${COLUMNS}`,
  remove: 'DELETE FROM bench.functions WHERE service_id = $1 AND id = $2',
};

const FOREIGN_KEY_VIOLATION = '23503';

module.exports = ({ database, pool: max }) => {
  const pool = new Pool({
    host: database.searchParams.get('host'),
    database: database.pathname.slice(1),
    user: database.username,
    max,
    idleTimeoutMillis: 0,
  });
  const run = (name, values) => pool.query({ name, text: statements[name], values });

  return {
    fetch: async (service, id) => (await run('fetch', [service, id])).rows[0],
    async list(service, from, limit) {
      if (!from) return (await run('newest', [service, limit])).rows;
      if (from.at) return (await run('at', [service, from.at, limit])).rows;
      return (await run('before', [service, from.before, limit])).rows;
    },
    async create(service, name) {
      try {
        return (await run('create', [service, identity(), name])).rows[0];
      } catch (error) {
        if (error.code === FOREIGN_KEY_VIOLATION) return undefined;
        throw error;
      }
    },
    update: async (service, id, name) => (await run('update', [service, id, name])).rows[0],
    remove: async (service, id) => (await run('remove', [service, id])).rowCount > 0,
  };
};
