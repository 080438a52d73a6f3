'use strict';

// Signs requests with Twilio's own library, for t/signature.t. Reads from standard input a JSON array of requests
// { token, url, params }, and prints the array of their signatures. A parameter is a text or an array of texts.
const { getExpectedTwilioSignature } = require('twilio/lib/webhooks/webhooks');

const requests = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

console.log(JSON.stringify(requests.map(({ token, url, params }) => getExpectedTwilioSignature(token, url, params ?? {}))));
