// npm's jose as a peer: verdicts and tokens. PEER_JOSE names its folder.
//
//     node peer.mjs verdicts|verify|sign < request.json
//
// Reads one JSON object, prints one.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const jose = await import(pathToFileURL(`${process.env.PEER_JOSE}/dist/webapi/index.js`));
const given = JSON.parse(readFileSync(0, "utf8"));
const expected = { algorithms: [given.algorithm], issuer: given.issuer, audience: given.audience };
const key = given.jwk
  ? await jose.importJWK(given.jwk, given.algorithm)
  : Buffer.from(given.secret ?? "", "hex");

async function verdict({ token, secret }) {
  try {
    await jose.jwtVerify(token, Buffer.from(secret, "hex"), expected);
    return null;
  } catch (error) {
    return error.code ?? error.name;
  }
}

const commands = {
  verdicts: () => Promise.all(given.cases.map(verdict)),
  verify: async () => (await jose.jwtVerify(given.token, key, expected)).payload,
  sign: async () => {
    const signer = given.pem ? await jose.importPKCS8(given.pem, given.algorithm) : key;
    const header = { ...given.header, alg: given.algorithm };
    return new jose.SignJWT(given.claims).setProtectedHeader(header).sign(signer);
  },
};
console.log(JSON.stringify(await commands[process.argv[2]]()));
