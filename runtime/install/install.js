// Resolves the Dependencies of a Build to an archive of node_modules:
//
//     node install.js FOLDER
//
// FOLDER is empty but for request.json:
//
//     {"dependencies": {"lodash": "^4.17.0"}, "npm": "/usr/bin/npm", "config": "/etc/npmrc" or null,
//      "cache": "/var/npm-cache" or null, "check": false, "limits": {"modules": 100, "files": 20000, "bytes": 262144000, "seconds": 120}}
//
// It writes result.json: {"sha256": ..., "size": ...} beside package-lock.json and bundle.tar.zst, where sha256 is the
// hash of the archive before its compression and size the bytes of bundle.tar.zst; {"sha256": null} where nothing has to
// be installed; or {"failure": "..."}, a sentence for the owner of the Build. The exit status is 0 in these cases, and 1
// where this program or npm does not work; stderr then has the cause, for the administrator.
//
// With "check", it installs nothing, and only asks the registry whether it has each of the dependencies. The result is
// {"sha256": null} where it has them, or the failure of the first one that it does not have. A registry that does not
// say so is no failure then: the exit status is 1.
//
// With "cache", npm asks no registry: packages come from this folder alone, a cache that npm has filled. The folder is only
// read. A check then looks at the packages that these depend on, too.
//
// npm runs no scripts of packages. Equal versions of packages give equal archives: docs/execution.md explains how.
'use strict';

const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const { builtinModules } = require('node:module');
const path = require('node:path');

const NAME = /^(@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*$/;
const MAX_NAME = 214; // npm's own limit
const RANGE = /^[\w.\-+~^<>=|* ]{1,200}$/; // versions, ranges and tags; no path, address or alias

// Packages that are not installed: what node has itself, and the hosted platform's handler, which runtime/isolate
// stands for.
const PROVIDED = new Set([...builtinModules, '@twilio/runtime-handler']);

// The machine's certificate authorities, which npm trusts beside those that node has itself.
const AUTHORITIES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/ssl/certs/ca-bundle.crt'];

const TAR = ['--format=gnu', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner',
    '--hard-dereference', '--mode=u+rwX,go+rX,go-w'];

// npm's command that installs what package.json lists.
const INSTALL = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--omit=dev', '--package-lock=true'];

// npm's codes of failures that the owner of a Build can mend, with the reason.
const REASONS = {
    E404: 'there is no such package',
    ETARGET: 'no version matches',
    ENOVERSIONS: 'it has no versions',
    EBADENGINE: 'it does not run on this Runtime',
    ERESOLVE: 'its peer dependencies exclude each other',
    EINTEGRITY: 'the archive is damaged',
    EBADPLATFORM: 'it does not run on this system',
    EINVALIDTAGNAME: 'the version is none',
    EINVALIDPACKAGENAME: 'the name is none',
};
const UNREACHABLE = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENETUNREACH',
    'EHOSTUNREACH', 'FETCH_ERROR', 'ERR_SOCKET_TIMEOUT', 'ENOTCACHED', 'EIDLETIMEOUT', 'E401', 'E403', 'E500', 'E502',
    'E503', 'E504',
    'CERT_HAS_EXPIRED', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT']);

/** A failure for the owner of the Build. */
class Failure extends Error {}

/** Returns the dependencies that npm has to install. Throws a Failure for a name or version that npm must not see. */
function wanted(dependencies, limits) {
    const entries = Object.entries(dependencies).filter(([name]) => !PROVIDED.has(name.replace(/^node:/, '')));

    if (entries.length > limits.modules) {
        throw new Failure(`${entries.length} packages are more than the ${limits.modules} that are allowed`);
    }
    for (const [name, range] of entries) {
        if (name.length > MAX_NAME || !NAME.test(name)) {
            throw new Failure(`${name.slice(0, MAX_NAME)}: not the name of a package`);
        }
        if (!RANGE.test(range)) {
            throw new Failure(`${name}: ${range.slice(0, 200)} is not a version or a range of versions`);
        }
    }
    return Object.fromEntries(entries);
}

/** Runs a program. Returns its exit status, output and errors, each at most 1 MiB of text. */
function run(program, parameters, options) {
    return new Promise((resolve, reject) => {
        const child = spawn(program, parameters, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
        const texts = { stdout: '', stderr: '' };

        for (const name of Object.keys(texts)) {
            child[name].setEncoding('utf8').on('data', (text) => {
                texts[name] = (texts[name] + text).slice(-1048576);
            });
        }
        child.on('error', reject);
        child.on('close', (status) => resolve({ status, ...texts }));
    });
}

/** Returns npm's description of its failure: {code, summary, detail}. */
function npmError(result) {
    try {
        return JSON.parse(result.stdout).error || {};
    } catch {
        const code = /npm (?:error|ERR!) code (\S+)/.exec(result.stderr);
        return { code: code ? code[1] : '', summary: result.stderr };
    }
}

/** Returns which of the wanted packages npm's message names, as name@range, or the name that it has. */
function named(error, dependencies) {
    const text = `${error.summary || ''}\n${error.detail || ''}`;
    const names = Object.keys(dependencies).filter((name) => text.includes(name)).sort((a, b) => b.length - a.length);
    const other = /(?:for|find|of) ((?:@[\w.-]+\/)?[\w.-]+@[^\s'"]+)/.exec(text);

    if (names.length > 0) {
        return `${names[0]}@${dependencies[names[0]]}`;
    }
    return other ? other[1].replace(/\.$/, '') : Object.entries(dependencies).map(([n, r]) => `${n}@${r}`)[0];
}

/** Returns npm's environment. */
function environment(root) {
    const authorities = AUTHORITIES.find((file) => fs.existsSync(file));

    return { PATH: process.env.PATH, HOME: root, TMPDIR: root, LC_ALL: 'C.UTF-8',
        ...(authorities && { NODE_EXTRA_CA_CERTS: authorities }) };
}

/** Writes the settings that an administrator's npmrc may change, and returns the path of the file. With them, three
 * attempts to fetch a file are over within the limit of time: a registry that does not answer is then the reason. A
 * check makes one attempt. */
function writeDefaults(request, root) {
    const { seconds } = request.limits;
    const attempt = request.check ? seconds * 1000 : Math.floor(Math.max(1, seconds - 10) * 1000 / 3);
    const file = `${root}.npmrc`;

    fs.writeFileSync(file, [`cache=${root}.cache`, 'logs-max=0', `fetch-timeout=${attempt}`,
        `fetch-retries=${request.check ? 0 : 2}`, 'fetch-retry-mintimeout=1000', 'fetch-retry-maxtimeout=5000', ''].join('\n'));
    return file;
}

/** Makes npm's own cache from the folder of `request.cache`. npm writes to the index of a cache even where it only reads
 * packages. The index is small, and is copied; the packages are a link. The copies are new files, so that they can be
 * changed and removed where the originals cannot. */
function makeCache(request, root) {
    const from = path.join(request.cache, '_cacache');
    const to = path.join(`${root}.cache`, '_cacache');

    fs.mkdirSync(path.join(to, 'index-v5'), { recursive: true });
    for (const { name, entry } of walk(path.join(from, 'index-v5'))) {
        const copy = path.join(to, path.relative(from, name));

        if (entry.isDirectory()) {
            fs.mkdirSync(copy);
        } else if (entry.isFile()) {
            fs.writeFileSync(copy, fs.readFileSync(name));
        }
    }
    fs.symlinkSync(path.join(from, 'content-v2'), path.join(to, 'content-v2'));
}

/** Runs npm in `root`. Returns as run(). */
function runNpm(request, root, parameters) {
    return run(request.npm, [...parameters, '--no-update-notifier', '--no-progress', '--loglevel=error', '--json',
        `--globalconfig=${writeDefaults(request, root)}`,
        ...(request.config ? [`--userconfig=${request.config}`] : []),
        ...(request.cache ? ['--offline', `--cache=${root}.cache`] : [])], { cwd: root, env: environment(root) });
}

/** Makes `root`, a package with the dependencies. */
function makeRoot(root, dependencies) {
    const manifest = { name: 'build', version: '0.0.0', private: true, dependencies };

    fs.mkdirSync(root);
    fs.writeFileSync(path.join(root, 'package.json'), JSON.stringify(manifest));
}

/** Runs npm install in `root`. Throws a Failure, or an Error where npm itself does not work. */
async function install(request, root, dependencies) {
    const result = await runNpm(request, root, INSTALL);

    if (result.status === 0) {
        return;
    }
    const error = npmError(result);
    if (REASONS[error.code]) {
        throw new Failure(`${named(error, dependencies)}: ${REASONS[error.code]}`);
    }
    if (UNREACHABLE.has(error.code)) {
        process.stderr.write(`${error.code}: ${error.summary}\n`);
        throw new Failure(`${named(error, dependencies)}: the registry cannot be reached`);
    }
    throw new Error(`npm ended with ${result.status}: ${error.code} ${error.summary}`);
}

/** Returns the names of the packages of which the registry has a version. One request for each package tells that, as
 * nothing is installed in `root`: "npm outdated" then lists each package that can be had. */
async function available(request, root) {
    const result = await runNpm(request, root, ['outdated']);
    const listed = JSON.parse(result.stdout || '{}'); // nothing is printed where nothing can be had

    if (listed.error && typeof listed.error.code === 'string') {
        throw new Error(`${listed.error.code}: ${listed.error.summary}`);
    }
    return new Set(Object.keys(listed));
}

/** Asks the registry for the dependencies. Throws a Failure for the first one that the registry does not have, or an
 * Error where the registry does not answer. */
async function ask(request, root, dependencies) {
    const found = await available(request, root);
    const missing = Object.keys(dependencies).find((name) => !found.has(name));

    if (!missing) {
        return;
    }
    const wantedVersion = `${missing}@${dependencies[missing]}`;
    const result = await runNpm(request, root, ['view', wantedVersion, 'name']); // tells "no" from "not allowed"
    const { code, summary } = npmError(result);

    if (code === 'E404') {
        throw new Failure(`${wantedVersion}: ${REASONS[/no match/i.test(summary) ? 'ETARGET' : 'E404']}`);
    }
    if (result.status !== 0) {
        throw new Error(`${code}: ${summary}`);
    }
}

/** Has npm choose versions from the cache, as an installation does: other commands of npm may ask for other forms of a
 * package's description, which the cache does not have. Throws a Failure where the cache has a package, and no version of it
 * that matches; or an Error for a package that the cache does not have, since it may be added before the installation. */
async function askCache(request, root, dependencies) {
    const result = await runNpm(request, root, [...INSTALL, '--package-lock-only']);

    if (result.status === 0) {
        return;
    }
    const error = npmError(result);
    if (error.code === 'ETARGET') {
        throw new Failure(`${named(error, dependencies)}: ${REASONS.ETARGET}`);
    }
    throw new Error(`${error.code}: ${error.summary}`);
}

/** Yields each file and link below a folder. */
function* walk(folder) {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
        const name = path.join(folder, entry.name);

        yield { name, entry };
        if (entry.isDirectory()) {
            yield* walk(name);
        }
    }
}

/** Checks node_modules against the limits, and removes what no require() reads. */
function check(modules, limits) {
    const inside = (target) => target === modules || target.startsWith(modules + path.sep);
    let files = 0;
    let bytes = 0;

    fs.rmSync(path.join(modules, '.package-lock.json'), { force: true });
    for (const { name, entry } of walk(modules)) {
        const shown = path.relative(modules, name);

        if (entry.isSymbolicLink()) {
            if (!inside(path.resolve(path.dirname(name), fs.readlinkSync(name)))) {
                throw new Failure(`${shown}: a link out of the package`);
            }
        } else if (entry.isFile()) {
            if (shown.endsWith('.node')) {
                throw new Failure(`${shown}: native code does not run here`);
            }
            files++;
            bytes += fs.lstatSync(name).size;
        } else if (!entry.isDirectory()) {
            throw new Failure(`${shown}: neither a file nor a folder`);
        }
        if (files > limits.files) {
            throw new Failure(`The packages have more than ${limits.files} files`);
        }
        if (bytes > limits.bytes) {
            throw new Failure(`The packages have more than ${limits.bytes} bytes`);
        }
    }
}

/** Writes the compressed archive of a folder. Returns the hash of the archive and the size of the compressed one. */
function archive(folder, to) {
    return new Promise((resolve, reject) => {
        const tar = spawn('tar', [...TAR, '-cf', '-', '-C', folder, '.'],
            { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env.PATH, LC_ALL: 'C' } });
        const zstd = spawn('zstd', ['-q', '-3', '-T1', '-o', to], { stdio: ['pipe', 'ignore', 'inherit'] });
        const hash = crypto.createHash('sha256');
        let running = 2;
        const ended = (program) => (status) => {
            if (status !== 0) {
                reject(new Error(`${program} ended with ${status}`));
            } else if (--running === 0) {
                resolve({ sha256: hash.digest('hex'), size: fs.statSync(to).size });
            }
        };

        tar.on('error', reject).on('close', ended('tar'));
        zstd.on('error', reject).on('close', ended('zstd'));
        tar.stdout.on('data', (bytes) => hash.update(bytes)).pipe(zstd.stdin).on('error', reject);
    });
}

async function main(folder) {
    const request = JSON.parse(fs.readFileSync(path.join(folder, 'request.json'), 'utf8'));
    const root = path.join(folder, 'root');
    const modules = path.join(root, 'node_modules');
    const dependencies = wanted(request.dependencies, request.limits);

    if (Object.keys(dependencies).length === 0) {
        return { sha256: null };
    }
    makeRoot(root, dependencies);
    if (request.cache) {
        makeCache(request, root);
    }
    if (request.check) {
        await (request.cache ? askCache : ask)(request, root, dependencies);
        return { sha256: null };
    }
    await install(request, root, dependencies);
    check(modules, request.limits);
    fs.copyFileSync(path.join(root, 'package-lock.json'), path.join(folder, 'package-lock.json'));
    return archive(modules, path.join(folder, 'bundle.tar.zst'));
}

const folder = path.resolve(process.argv[2]);

main(folder).catch((error) => {
    if (!(error instanceof Failure)) {
        throw error;
    }
    return { failure: error.message };
}).then((result) => {
    fs.writeFileSync(path.join(folder, 'result.json'), JSON.stringify(result));
}).catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
});
