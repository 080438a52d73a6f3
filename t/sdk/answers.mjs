// Two independent validators for t/answers.t. Reads JSON, { document, answers: [{ request, response, headers, body }] },
// where a response is a pointer into the document. Prints as JSON the faults that each validator finds in the answers,
// { hyperjump: [text], ajv: [text] }.
//
// @hyperjump/json-schema follows each $ref. For ajv, @apidevtools/json-schema-ref-parser replaces each $ref first, as it
// does in most tools that read OpenAPI; it replaces keywords of the target with the keywords that are beside a $ref.
import { text } from 'node:stream/consumers';
import { registerSchema, validate } from '@hyperjump/json-schema/draft-2020-12';
import RefParser from '@apidevtools/json-schema-ref-parser';
import addFormats from 'ajv-formats';
import Ajv2020 from 'ajv/dist/2020.js';

const JSON_SCHEMA = 'https://json-schema.org/draft/2020-12/schema';
const BASE = 'https://description.test/';

const { document, answers } = JSON.parse(await text(process.stdin));
const escape = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
const unescape = (step) => step.replaceAll('~1', '/').replaceAll('~0', '~');

// What is at a pointer into a tree.
function at(tree, pointer) {
  return pointer.split('/').slice(1).reduce((place, step) => place[unescape(step)], tree);
}

// The pointer itself, or the one that the $ref there has.
function followed(pointer) {
  const { $ref } = at(document, pointer);
  return $ref ? followed($ref) : pointer;
}

// The parts of an answer that the description has schemas for: [{ name, pointer, value }]. A required header that is
// missing has no value, and a body whose type is not described has no pointer.
function partsOf({ response, headers, body }) {
  const pointer = followed(response);
  const { headers: described = {}, content = {} } = at(document, pointer);
  const parts = [];
  for (const name of Object.keys(described)) {
    const header = followed(`${pointer}/headers/${escape(name)}`);
    const { schema, required } = at(document, header);
    const text = headers[name.toLowerCase()];
    const value = schema.type === 'integer' && /^\d+$/.test(text) ? Number(text) : text;
    if (text !== undefined || required) parts.push({ name, pointer: `${header}/schema`, value });
  }
  if (body !== '') {
    const type = headers['content-type'].replace(/;.*/s, '');
    const media = [type, '*/*'].find((name) => content[name]);
    if (!media) parts.push({ name: 'body', value: body });
    else if (content[media].schema) {
      parts.push({ name: 'body', pointer: `${pointer}/content/${escape(media)}/schema`, value: JSON.parse(body) });
    }
  }
  return parts;
}

// A validator: a function that compiles the schema at a pointer. The compiled schema is a function of a value. It returns
// true for a valid value, and text about the faults for any other value.
async function hyperjump() {
  registerSchema(document, BASE, JSON_SCHEMA);
  return async (pointer) => {
    const valid = await validate(`${BASE}${pointer}`);
    return (value) => {
      const { valid: is, errors } = valid(value, 'BASIC');
      return is || errors.map((error) => `${error.instanceLocation} ${error.absoluteKeywordLocation}`).join('; ');
    };
  };
}

async function ajv() {
  const whole = await RefParser.dereference(structuredClone(document));
  const validator = addFormats(new Ajv2020({ strict: false, allErrors: true }));
  return async (pointer) => {
    const valid = validator.compile(at(whole, pointer));
    return (value) => valid(value) || validator.errorsText(valid.errors, { dataVar: '' });
  };
}

// The faults that a validator finds in all answers.
async function faults(validator) {
  const compile = await validator();
  const compiled = {};
  const found = [];
  for (const answer of answers) {
    for (const { name, pointer, value } of partsOf(answer)) {
      const where = `${answer.request}: ${answer.response}: ${name}`;
      if (!pointer || value === undefined) {
        found.push(`${where}: ${pointer ? 'is missing' : 'is not described'}`);
        continue;
      }
      compiled[pointer] ??= await compile(pointer);
      const verdict = compiled[pointer](value);
      if (verdict !== true) found.push(`${where}: ${verdict}`);
    }
  }
  return found;
}

console.log(JSON.stringify({ hyperjump: await faults(hyperjump), ajv: await faults(ajv) }));
