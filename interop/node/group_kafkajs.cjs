// kafkajs as a member of a classic group, with the protocol of interop/groups/doc.go.
'use strict'
const { Kafka, AssignerProtocol, logLevel } = require('kafkajs')

const member = JSON.parse(process.argv[3])
const kafka = new Kafka({
  clientId: 'interop', brokers: [process.argv[2]], logLevel: logLevel.ERROR, logCreator: () => ({ log }) => console.error(log.message, log.error ?? ''), retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 100 }
})

const micros = () => Math.floor((performance.timeOrigin + performance.now()) * 1000)
const line = (kind, ...rest) => process.stdout.write([micros(), kind, -1, ...rest].join(' ') + '\n')

// range is Kafka's range assignor, which kafkajs does not have. It lets kafkajs
// share a group with clients that have it.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  protocol: ({ topics }) => ({ name: 'range', metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }) }),
  async assign ({ members, topics }) {
    const subscribed = new Map(members.map(m => [m.memberId, AssignerProtocol.MemberMetadata.decode(m.memberMetadata).topics]))
    const ids = [...subscribed.keys()].sort()
    const given = new Map(ids.map(id => [id, {}]))
    for (const topic of new Set([...subscribed.values()].flat())) {
      await cluster.addTargetTopic(topic)
      const partitions = cluster.findTopicPartitionMetadata(topic).map(p => p.partitionId).sort((a, b) => a - b)
      const readers = ids.filter(id => subscribed.get(id).includes(topic))
      const each = Math.floor(partitions.length / readers.length)
      let from = 0
      readers.forEach((id, i) => {
        const count = each + (i < partitions.length % readers.length ? 1 : 0)
        if (count > 0) given.get(id)[topic] = partitions.slice(from, from + count)
        from += count
      })
    }
    return ids.map(memberId => ({ memberId, memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment: given.get(memberId), userData: Buffer.alloc(0) }) }))
  }
})

let consumer

// begin joins the group, and rejoins when the consumer fails: kafkajs treats
// some errors of a broker that goes down as permanent.
async function begin () {
  const me = consumer = kafka.consumer({
    groupId: member.group, sessionTimeout: member.session, heartbeatInterval: member.heartbeat, rebalanceTimeout: 10000,
    maxWaitTimeInMs: 200, partitionAssigners: [range], retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 100 }
  })
  let mine = []
  let clean = true
  let over = false
  const again = () => {
    if (!over) setTimeout(begin, 200)
    over = true
  }
  const gone = () => {
    if (mine.length > 0) line(clean ? 'revoked' : 'lost', ...mine)
    mine = []
  }
  me.on(me.events.REBALANCING, gone)
  me.on(me.events.STOP, gone)
  me.on(me.events.CRASH, ({ payload }) => {
    gone()
    if (!payload.restart) again()
  })
  me.on(me.events.GROUP_JOIN, ({ payload }) => {
    gone()
    clean = true
    mine = Object.entries(payload.memberAssignment).flatMap(([t, ps]) => ps.map(p => `${t}/${p}`))
    line('assigned', ...mine)
  })
  try {
    await me.connect()
    await me.subscribe({ topics: member.topics, fromBeginning: true })
  } catch (error) {
    await me.disconnect()
    again()
    return
  }
  await me.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: 1,
    eachBatch: async ({ batch: { topic, partition, messages }, resolveOffset, isRunning, isStale }) => {
      if (!isRunning() || isStale() || !mine.includes(`${topic}/${partition}`)) return
      for (const m of messages) {
        line('record', `${topic}/${partition}`, m.offset, m.value.toString())
        resolveOffset(m.offset)
      }
      const next = String(BigInt(messages[messages.length - 1].offset) + 1n)
      try {
        await me.commitOffsets([{ topic, partition, offset: next }])
        line('committed', `${topic}/${partition}`, next)
      } catch (error) {
        clean = false
        line('failed', error.type ?? error.name)
        throw error
      }
    }
  })
}

process.stdin.resume()
process.stdin.on('end', async () => {
  await consumer.stop()
  await consumer.disconnect()
  line('left')
  process.exit(0)
})
begin()
