// The protocol of interop/clients/process.go: one JSON command per input line,
// one JSON answer per output line, until the input ends.
'use strict'
const readline = require('node:readline')

const bytes = s => (s === null ? null : Buffer.from(s, 'base64'))
const base64 = b => (b === null || b === undefined ? null : Buffer.from(b).toString('base64'))

async function serve (handlers, close) {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const command = JSON.parse(line)
    let answer
    try {
      answer = await handlers[command.op](command)
    } catch (error) {
      answer = { error: `${error.message} ${JSON.stringify(error.errors?.map(e => e.message) ?? '')}` }
      console.error(error)
    }
    process.stdout.write(JSON.stringify(answer ?? {}) + '\n')
  }
  await close()
}

// until repeats a query until it has the wanted result: a broker shows a change
// shortly after the controller has accepted it. The test limits the wait.
async function until (wanted, ask) {
  for (;;) {
    const answer = await ask()
    if (answer === wanted) return answer
  }
}

module.exports = { serve, bytes, base64, until }
