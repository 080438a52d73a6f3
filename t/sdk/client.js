'use strict';

// Twilio's own client, aimed at the server under test; t/sdk.t says which.
const twilio = require('twilio');

module.exports = function client(accountSid = process.env.ACCOUNT_SID,
    authToken = process.env.AUTH_TOKEN) {
  const made = twilio(accountSid, authToken);
  made.serverless.baseUrl = process.env.BASE_URL;
  return made.serverless.v1;
};
