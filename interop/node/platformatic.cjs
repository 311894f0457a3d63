// @platformatic/kafka: producer, admin, and the consumer with single fetches,
// which need no consumer group.
'use strict'
const { Producer, Consumer, Admin } = require('@platformatic/kafka')
const { serve, bytes, base64, until } = require('./lines.cjs')

const options = { clientId: 'interop', bootstrapBrokers: [process.argv[2]] }
const acks = { 0: 0, 1: 1, all: -1 }
const admin = new Admin(options)
const consumer = new Consumer({ ...options, groupId: 'interop-unused', maxWaitTime: 500 })

async function create ({ topic, partitions, configs }) {
  const entries = Object.entries(configs ?? {}).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: entries })
}

function message (command, record) {
  const m = { topic: command.topic, partition: command.partition, headers: new Map() }
  if (record.key !== null) m.key = bytes(record.key)
  if (record.value !== null) m.value = bytes(record.value)
  if (record.timestamp) m.timestamp = BigInt(record.timestamp)
  for (const { key, value } of record.headers ?? []) m.headers.set(Buffer.from(key), bytes(value))
  return m
}

async function produce (command) {
  const producer = new Producer({ ...options, idempotent: command.idempotent })
  try {
    const result = await producer.send({
      messages: command.records.map(r => message(command, r)),
      acks: acks[command.acks],
      compression: command.codec,
      idempotent: command.idempotent
    })
    const base = result.offsets?.[0]?.offset
    return { offsets: command.records.map((_, i) => (command.acks === '0' || base === undefined ? -1 : Number(base) + i)) }
  } finally {
    await producer.close()
  }
}

async function consume (command) {
  const metadata = await consumer.metadata({ topics: [command.topic], forceUpdate: true })
  const { id: topicId, partitions } = metadata.topics.get(command.topic)
  let next = BigInt(command.offset)
  if (command.timestamp) {
    const found = await consumer.listOffsets({
      topics: [command.topic], partitions: { [command.topic]: [command.partition] }, timestamp: BigInt(command.timestamp)
    })
    next = found.get(command.topic)[command.partition]
  }
  const records = []
  while (records.length < command.count) {
    const answer = await consumer.fetch({
      node: partitions[command.partition].leader,
      minBytes: 1,
      maxBytes: 8 << 20,
      topics: [{
        topicId,
        partitions: [{
          partition: command.partition, currentLeaderEpoch: -1, fetchOffset: next, lastFetchedEpoch: -1, partitionMaxBytes: 4 << 20
        }]
      }]
    })
    for (const batch of answer.responses[0]?.partitions[0]?.records ?? []) {
      for (const r of batch.records) {
        const offset = batch.firstOffset + BigInt(r.offsetDelta)
        if (offset < next) continue
        records.push(record(batch, r, offset))
        next = offset + 1n
      }
    }
  }
  return { records: records.slice(0, command.count) }
}

function record (batch, r, offset) {
  return {
    offset: Number(offset),
    timestamp: Number(batch.firstTimestamp + BigInt(r.timestampDelta)),
    key: base64(r.key),
    value: base64(r.value),
    headers: [...(r.headers ?? [])].map(([key, value]) => ({ key: key.toString(), value: base64(value) }))
  }
}

async function tour ({ topic }) {
  const metadata = await admin.metadata({ topics: [topic], forceUpdate: true })
  const topics = await admin.listTopics()
  const offset = async timestamp => {
    const found = await consumer.listOffsets({ topics: [topic], partitions: { [topic]: [0] }, timestamp })
    return Number(found.get(topic)[0])
  }
  const latest = await offset(-1n)
  await admin.incrementalAlterConfigs({
    resources: [{ resourceType: 2, resourceName: topic, configs: [{ name: 'retention.ms', configOperation: 0, value: '123456' }] }]
  })
  const retention = await until('123456', async () => {
    const answer = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: topic, configurationKeys: ['retention.ms'] }] })
    return answer[0].configs[0].value
  })
  await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 1n }] }] })
  const earliest = await offset(-2n)
  const one = { brokerIds: [1] } // this client sends an empty list for "choose yourself", which Kafka refuses
  await admin.createPartitions({ topics: [{ name: topic, count: 5, assignments: [one, one, one] }] })
  const grown = await until(5, async () => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitionsCount)
  await admin.deleteTopics({ topics: [topic] })
  return {
    result: {
      brokers: metadata.brokers.size,
      partitions: metadata.topics.get(topic).partitionsCount,
      listed: topics.includes(topic),
      latest,
      earliest,
      retention,
      grown
    }
  }
}

serve({ create, produce, consume, admin: tour }, async () => {
  await consumer.close(true)
  await admin.close()
})
