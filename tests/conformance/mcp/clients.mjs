// The official TypeScript clients against a running server: `node clients.mjs NODE_MODULES URL KEY`.
// Prints what each saw, as JSON; whatever a client warns of goes to standard error.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, url, text] = process.argv.slice(2);
const load = path => import(pathToFileURL(join(modules, '@modelcontextprotocol', path)));

async function use(client, transport) {
    await client.connect(transport);
    const tools = [];
    let cursor;
    do {
        const page = await client.listTools(cursor === undefined ? {} : { cursor });
        tools.push(...page.tools.map(tool => tool.name));
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    const result = await client.callTool({ name: 'note_create', arguments: { text } });
    const fault = await client.callTool({ name: 'note_create', arguments: { txt: 1 } });
    const resource = await client.readResource({ uri: 'nexusd://registry' });
    const seen = {
        tools: tools.length,
        text: result.structuredContent.create.text,
        pointers: fault.structuredContent.errors.map(error => error.pointer).sort(),
        models: JSON.parse(resource.contents[0].text).models.map(model => model.name)
    };
    await client.close();
    return seen;
}

const info = { name: 'nexusd-tests', version: '1.0.0' };
const v1 = await load('sdk/dist/esm/client/index.js');
const v1http = await load('sdk/dist/esm/client/streamableHttp.js');
const v2 = await load('client/dist/index.mjs');

const seen = {
    v1: await use(new v1.Client(info), new v1http.StreamableHTTPClientTransport(new URL(url))),
    v2: await use(new v2.Client(info), new v2.StreamableHTTPClientTransport(new URL(url))),
    v2auto: await use(
        new v2.Client(info, { versionNegotiation: { mode: 'auto' } }),
        new v2.StreamableHTTPClientTransport(new URL(url))
    )
};
console.log(JSON.stringify(seen));
