import { expect, test } from "bun:test";
import net from "node:net";
import { GrpcClient } from "./support/grpc-client.ts";
import { startRelayProcess } from "./support/relay-process.ts";
import { startUpstream } from "./support/upstream.ts";
import { padTo } from "./support/padding.ts";
import { specV2 } from "./support/payloads.ts";
test("a", async()=>{
await using upstream = await startUpstream();
await using relay = await startRelayProcess({ upstream });
let paused=false; let bytes=0; const socks: net.Socket[]=[];
const fwd = net.createServer(c=>{const u=net.connect(relay.grpcPort,"127.0.0.1"); socks.push(u); c.pipe(u); u.on("data",d=>{bytes+=d.length;c.write(d)}); c.on("error",()=>{});u.on("error",()=>{});}).listen(0,"127.0.0.1");
await new Promise(r=>fwd.once("listening",r));
const sdkKey="secret-x";
const pub=(n:number)=>{upstream.publish(sdkKey,"v2",padTo(specV2({lcut:1000+n}),1_500_000),1000+n)};
pub(0);
using slow=new GrpcClient(`http://127.0.0.1:${(fwd.address() as any).port}`);
using quick=new GrpcClient(relay.grpcUrl);
using s=slow.streamConfigSpec({sdkKey,version:2});
console.log((await s.next()).lastUpdated, bytes);
socks[0]!.pause();
using q=quick.streamConfigSpec({sdkKey,version:2});
await q.next();
for(const n of [1,2,3,4]){pub(n);await q.next();console.log(n,bytes, relay.rssBytes()/1e6)}
socks[0]!.resume();
const got=[];while(got.at(-1)!==1004)got.push((await s.next()).lastUpdated);
console.log(got,bytes);
fwd.close(); for(const x of socks)x.destroy();
},20000);
