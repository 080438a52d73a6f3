'use strict';

// Lists: the library follows next_page_url by itself. Newest first.

const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { account } = require('./client');

const { api } = account();
const COUNT = 11;
const names = Array.from({ length: COUNT }, (_, i) => `number-${COUNT - i}`);
let functions;

before(async () => {
  for (const name of [...names].reverse()) {
    await api.services.create({ uniqueName: name, friendlyName: name });
  }
  functions = api.services('number-1').functions;
  for (const friendlyName of [...names].reverse()) {
    await functions.create({ friendlyName });
  }
});

// The two lists there are, each with what tells its rows apart.
const lists = {
  Services: [() => api.services, (one) => one.uniqueName],
  Functions: [() => functions, (one) => one.friendlyName],
};

for (const [what, [list, name]] of Object.entries(lists)) {
  for (const options of [{}, { pageSize: 2 }, { pageSize: 3 }, { pageSize: 5 }, { pageSize: COUNT },
    { pageSize: COUNT - 1 }, { pageSize: 1000 }, { limit: 5000 }]) {
    test(`list ${what}, ${JSON.stringify(options)}: all of them, once`, async () => {
      assert.deepEqual((await list().list(options)).map(name), names);
    });
  }

  for (const options of [{ limit: 1 }, { limit: 7 }, { limit: 7, pageSize: 2 }, { limit: 2, pageSize: 5 }]) {
    test(`list ${what}, ${JSON.stringify(options)}: so many`, async () => {
      assert.deepEqual((await list().list(options)).map(name), names.slice(0, options.limit));
    });
  }

  test(`each ${what}: one after the other`, async () => {
    const seen = [];
    await new Promise((done, failed) => {
      list().each({ pageSize: 4, callback: (one) => seen.push(name(one)), done: (e) => (e ? failed(e) : done()) });
    });
    assert.deepEqual(seen, names);
  });

  test(`each ${what}, until the callback has enough`, async () => {
    const seen = [];
    await new Promise((done, failed) => {
      list().each({
        pageSize: 2,
        callback: (one, enough) => {
          seen.push(name(one));
          if (seen.length === 5) enough();
        },
        done: (e) => (e ? failed(e) : done()),
      });
    });
    assert.deepEqual(seen, names.slice(0, 5));
  });

  test(`pages of ${what}, forth and back`, async () => {
    const pages = [await list().page({ pageSize: 4 })];
    for (let page = await pages[0].nextPage(); page; page = await page.nextPage()) {
      pages.push(page);
    }
    assert.deepEqual(pages.map((page) => page.instances.map(name)),
      [names.slice(0, 4), names.slice(4, 8), names.slice(8)]);
    assert.equal(pages[0].previousPageUrl, undefined);
    assert.equal(pages[2].nextPageUrl, undefined);

    const back = await pages[2].previousPage();
    assert.deepEqual(back.instances.map(name), names.slice(4, 8));
    assert.deepEqual((await back.previousPage()).instances.map(name), names.slice(0, 4));
  });

  test(`getPage of ${what}: a page by its URL`, async () => {
    const first = await list().page({ pageSize: 4 });
    assert.ok(first.nextPageUrl.startsWith(`${process.env.BASE_URL}/v1/Services`));
    const second = await list().getPage(first.nextPageUrl);
    assert.deepEqual(second.instances.map(name), names.slice(4, 8));
  });

  test(`a page of ${what} has dates`, async () => {
    const { instances: [one] } = await list().page({ pageSize: 1 });
    assert.ok(one.dateCreated instanceof Date && one.dateUpdated instanceof Date);
  });
}

test('an empty list', async () => {
  const empty = await api.services.create({ uniqueName: 'empty', friendlyName: 'Empty' });
  assert.deepEqual(await api.services(empty.sid).functions.list({ pageSize: 2 }), []);
  await api.services(empty.sid).remove();
});
