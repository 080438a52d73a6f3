// A peer: node main.js pg|postgres, with PORT, WORKERS, POOL, DATABASE, ACCOUNT_SID and PAGE_TOKEN_KEY
// in the environment. Prints one line once it answers.
'use strict';

const cluster = require('node:cluster');

const port = Number(process.env.PORT);
const workers = Number(process.env.WORKERS);

async function work() {
  const store = require(`./store_${process.argv[2]}.js`)({
    database: new URL(process.env.DATABASE),
    pool: Number(process.env.POOL),
  });
  const app = require('./app.js')(store, process.env.ACCOUNT_SID, process.env.PAGE_TOKEN_KEY);

  await app.listen({ host: '127.0.0.1', port });
}

function start() {
  let listening = 0;

  cluster.on('listening', () => {
    listening += 1;
    if (listening === workers) console.log(`listening on ${port}`);
  });
  cluster.on('exit', () => process.exit(1));
  for (let i = 0; i < workers; i++) cluster.fork();
}

if (cluster.isPrimary) start();
else work();
