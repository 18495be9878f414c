// Locks a SQLite database as another program does, until it is killed: <file> <SQL>. Prints "locked" when it has the lock.
import { DatabaseSync } from "node:sqlite";

const [file = "", sql = ""] = process.argv.slice(2);
const db = new DatabaseSync(file, { timeout: 10_000 });
db.exec(sql);
console.log("locked");
setInterval(() => db.isOpen, 60_000);
