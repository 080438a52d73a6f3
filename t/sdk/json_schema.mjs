// A validator of OpenAPI 3.1 and JSON Schema by others, for t/openapi.t. Reads JSON, prints JSON:
// { document } is answered with what is wrong with it as a description of an API; { components, cases:
// [{ schema, value }] } with whether each value is valid, where schemas may refer to components.
import { text } from 'node:stream/consumers';
import { validate } from '@hyperjump/json-schema/openapi-3-1';
import { registerSchema } from '@hyperjump/json-schema/draft-2020-12';

const OPENAPI = 'https://spec.openapis.org/oas/3.1/schema-base'; // the API, and the schemas in it
const JSON_SCHEMA = 'https://json-schema.org/draft/2020-12/schema';
const OURS = 'https://description.test/';

async function faults(document) {
  const { valid, errors } = await validate(OPENAPI, document, 'BASIC');
  return valid ? [] : errors.map((error) => `${error.instanceLocation}: ${error.absoluteKeywordLocation}`);
}

async function verdicts(components, cases) {
  const schemas = Object.fromEntries(cases.map(({ schema }, i) => [i, schema]));
  registerSchema({ components, $defs: schemas }, OURS, JSON_SCHEMA);
  const results = cases.map(({ value }, i) => validate(`${OURS}#/$defs/${i}`, value));
  return (await Promise.all(results)).map(({ valid }) => valid);
}

const { document, components, cases } = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(document ? await faults(document) : await verdicts(components, cases)));
