// The globals of Functions: Twilio, Runtime, and the older Functions, Response and twilioClient.
'use strict';

const { Response } = require('./response');

const { apply, construct, defineProperty, get, getOwnPropertyDescriptor, has, ownKeys, set } = Reflect;

const NO_PACKAGE = 'the package "twilio" is neither among the Dependencies of the Build nor installed on the server';
const NO_CREDENTIALS = 'context.ACCOUNT_SID and context.AUTH_TOKEN are not set: set both as Variables of the Environment, ' +
  'or include credentials in the Service';

// Returns the package "twilio" of the Build, or else that of NODE_PATH. Throws where there is none.
function loadTwilio(build) {
  let file;
  try {
    file = build.require.resolve('twilio');
  } catch {
    throw new Error(`Twilio cannot be used: ${NO_PACKAGE}`);
  }
  return build.require(file);
}

// Returns the global Twilio: a function with the properties of the package, which is loaded when it is first used,
// and with Response, which needs no package.
function lazyTwilio(build) {
  let library;
  function Twilio(...values) {
    return new.target ? construct(library, values) : apply(library, undefined, values);
  }
  Twilio.Response = Response;
  function load() {
    if (library) {
      return;
    }
    const loaded = loadTwilio(build);
    for (const name of ownKeys(loaded)) {
      if (getOwnPropertyDescriptor(Twilio, name)?.configurable !== false && name !== 'Response') {
        defineProperty(Twilio, name, { ...getOwnPropertyDescriptor(loaded, name), configurable: true });
      }
    }
    library = loaded;
  }
  // A trap that loads the package before it does to the function what it would do without a trap.
  const loading = (operation) => (...values) => {
    load();
    return operation(...values);
  };
  return new Proxy(Twilio, {
    apply: loading(apply),
    construct: loading((target, values) => construct(library, values)),
    get: (target, name, receiver) => {
      if (name !== 'Response') {
        load();
      }
      return get(target, name, receiver);
    },
    set,
    has: loading(has),
    ownKeys: loading(ownKeys),
    getOwnPropertyDescriptor: loading(getOwnPropertyDescriptor),
  });
}

// Returns a client of Twilio's API with the credentials of a context. Throws where there are none.
function clientOf(build, context, options) {
  if (!context.ACCOUNT_SID || !context.AUTH_TOKEN) {
    throw new Error(`There is no Twilio client: ${NO_CREDENTIALS}`);
  }
  return loadTwilio(build)(context.ACCOUNT_SID, context.AUTH_TOKEN, { lazyLoading: true, ...options });
}

// Returns a Sync Service of Twilio's API, with the older names of its collections.
function syncOf(client, { serviceName = 'default' } = {}) {
  const service = client.sync.v1.services(serviceName);
  service.maps = service.syncMaps;
  service.lists = service.syncLists;
  return service;
}

// Defines a global. One of Node.js of the same name is deleted first: to redefine it would read its value, and reading
// Response makes Node.js load fetch() with all of HTTP and TLS, which no Function has asked for.
function define(name, descriptor) {
  delete globalThis[name];
  defineProperty(globalThis, name, { configurable: true, enumerable: false, ...descriptor });
}

// Defines the globals. currentContext() returns the context of the call in progress, or undefined.
function defineGlobals(build, currentContext) {
  const clientNow = (options) => clientOf(build, currentContext() ?? {}, options);
  const Runtime = {
    getFunctions: () => build.getFunctions(),
    getAssets: () => build.getAssets(),
    getSync: (options) => syncOf(clientNow(), options),
  };
  define('Twilio', { value: lazyTwilio(build), writable: true });
  define('Runtime', { value: Runtime, writable: true });
  define('Response', { value: Response, writable: true });
  // An assignment replaces the getter, as it would replace a value.
  const lazy = (name, getter) => define(name, {
    get: getter,
    set: (value) => define(name, { value, writable: true }),
  });
  lazy('Functions', () => build.getFunctions());
  lazy('twilioClient', () => (currentContext()?.AUTH_TOKEN ? clientNow() : null));
}

module.exports = { clientOf, defineGlobals };
