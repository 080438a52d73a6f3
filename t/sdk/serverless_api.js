'use strict';

// @twilio-labs/serverless-api for t/serverless_api.t. Each line of the input is JSON and
// says what to call, { client, method, config }; each line of the output is what became
// of it: { result, messages }, or { error, messages }.
const { createInterface } = require('node:readline');
const { Readable } = require('node:stream');
const { TwilioServerlessApiClient } = require('@twilio-labs/serverless-api');

// What a stream has. This one's never closes, so its end has to do.
function entries(stream) {
  return new Promise((resolve, reject) => {
    const all = [];
    stream.on('data', (entry) => all.push(entry));
    stream.on('end', () => resolve(all));
    stream.on('error', reject);
  });
}

async function call({ client: credentials, method, config }) {
  const messages = [];
  try {
    const client = new TwilioServerlessApiClient(credentials);
    client.on('status-update', ({ message }) => messages.push(message));
    let result = await client[method](config);
    if (result instanceof Readable) result = await entries(result);
    return { result, messages };
  } catch (error) {
    const { name, code, message, details } = error;
    return { error: error instanceof Error ? { name, code, message, details } : error, messages };
  }
}

// Without the bytes of what is deployed, which results repeat.
const brief = (key, value) => (key === 'content' ? undefined : value);

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await call(JSON.parse(line)), brief)}\n`);
  }
})();
