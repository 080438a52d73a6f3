// A small npm registry for tests, on a port of loopback that it prints:
//
//     node registry.js [ADDRESS PORT]
//
// It serves the packages below until its standard input ends. "POST /down" has it refuse all other requests, "POST /silent"
// accept them without an answer, and "POST /closed" want the token "secret", until "POST /up". "GET /-/count" answers the number
// of requests so far. It is a proxy, too, for a registry of any other name.
'use strict';

const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

/** The files of many-files. */
function manyFiles(count) {
    return Object.fromEntries(Array.from({ length: count }, (_, i) => [`file-${i}.txt`, '']));
}

// name -> version -> the rest of its package.json, and its files
const PACKAGES = {
    greet: {
        '1.0.0': { files: { 'index.js': "module.exports = (name) => `hello ${name} 1.0.0`;\n" } },
        '1.1.0': { files: { 'index.js': "module.exports = (name) => `hello ${name} 1.1.0`;\n" } },
        '2.0.0': { files: { 'index.js': "module.exports = (name) => `hello ${name} 2.0.0`;\n" } },
    },
    'uses-greet': {
        '1.0.0': { dependencies: { greet: '^1.0.0' }, files: { 'index.js': "module.exports = require('greet')('you');\n" } },
    },
    '@scope/data': {
        '1.0.0': { files: { 'index.js': "module.exports = require('./data.json');\n", 'data.json': '{"k":"v"}\n' } },
    },
    'runs-script': {
        '1.0.0': {
            scripts: { preinstall: 'touch ran', install: 'touch ran', postinstall: 'touch ran' },
            files: { 'index.js': "module.exports = require('fs').existsSync(__dirname + '/ran');\n" },
        },
    },
    'has-native-code': { '1.0.0': { files: { 'index.js': '', 'build/addon.node': 'ELF' } } },
    'many-files': { '1.0.0': { files: manyFiles(300) } },
    'broken-dependency': { '1.0.0': { dependencies: { greet: '^9.0.0' }, files: { 'index.js': '' } } },
    'only-windows': { '1.0.0': { os: ['win32'], files: { 'index.js': '' } } },
};

/** Returns the archive of a version, as `npm pack` writes it. */
function pack(name, version) {
    const { files, ...rest } = PACKAGES[name][version];
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'registry-'));

    for (const [file, text] of Object.entries({
        ...files, 'package.json': JSON.stringify({ name, version, ...rest }),
    })) {
        fs.mkdirSync(path.dirname(path.join(folder, 'package', file)), { recursive: true });
        fs.writeFileSync(path.join(folder, 'package', file), text);
    }
    const bytes = execFileSync('tar', ['-czf', '-', '--mtime=@0', '-C', folder, 'package']);

    fs.rmSync(folder, { recursive: true });
    return bytes;
}

const archives = new Map();

/** Returns the archive of a version, made once. */
function archive(name, version) {
    const key = `${name}@${version}`;

    if (!archives.has(key)) {
        archives.set(key, pack(name, version));
    }
    return archives.get(key);
}

/** Returns the document that describes a package. */
function describe(name, origin) {
    const versions = {};

    for (const [version, { files, ...rest }] of Object.entries(PACKAGES[name])) {
        versions[version] = {
            name, version, ...rest, hasInstallScript: Boolean(rest.scripts),
            dist: {
                tarball: `${origin}/archives/${encodeURIComponent(name)}/${version}.tgz`,
                integrity: `sha512-${crypto.createHash('sha512').update(archive(name, version)).digest('base64')}`,
            },
        };
    }
    return { name, 'dist-tags': { latest: Object.keys(versions).pop() }, versions };
}

let state = 'up';
let count = 0;

/** Answers a request for a package or an archive. */
function serve(parts, origin, response) {
    if (parts[0] === 'archives') {
        response.end(archive(parts[1], parts[2].replace(/\.tgz$/, '')));
    } else if (PACKAGES[parts.join('/')]) {
        response.setHeader('Content-Type', 'application/json');
        response.setHeader('Cache-Control', 'public, max-age=300'); // npm caches no other
        response.end(JSON.stringify(describe(parts.join('/'), origin)));
    } else {
        response.writeHead(404, { 'Content-Type': 'application/json' });
        response.end('{"error":"Not found"}');
    }
}

const server = http.createServer((request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`); // a proxy gets whole URLs
    const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);

    if (request.method === 'POST') {
        state = parts[0];
        response.end();
    } else if (request.url === '/-/count') {
        response.end(String(count));
    } else {
        count++;
        if (state === 'closed' && request.headers.authorization !== 'Bearer secret') {
            response.writeHead(401, { 'Content-Type': 'application/json' });
            response.end('{"error":"Who are you?"}');
        } else if (state === 'up' || state === 'closed') {
            serve(parts, url.origin, response);
        } else if (state === 'down') {
            response.socket.destroy();
        }
    }
});

server.listen(process.argv[3] || 0, process.argv[2] || '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit());
