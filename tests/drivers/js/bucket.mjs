// A service that speaks S3, with one bucket: `node bucket.mjs FOLDER`. Says {"port": …} once it answers. Signatures are checked.

import S3rver from "s3rver";

const server = new S3rver({ address: "127.0.0.1", port: 0, silent: true, directory: process.argv[2], configureBuckets: [{ name: "media" }] });
const { port } = await server.run();
console.log(JSON.stringify({ port }));
