// kafkajs: producer and admin. (Its consumer needs consumer groups.)
'use strict'
const zlib = require('node:zlib')
const { promisify } = require('node:util')
const lz4 = require('lz4-napi')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const { serve, bytes, until } = require('./lines.cjs')

// kafkajs has only gzip; its documentation describes how to add other codecs.
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: encoder => promisify(zlib.zstdCompress)(encoder.buffer),
  decompress: promisify(zlib.zstdDecompress)
})
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: encoder => lz4.compressFrame(encoder.buffer),
  decompress: buffer => lz4.decompressFrame(buffer)
})

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}
const acks = { 0: 0, 1: 1, all: -1 }

const kafka = new Kafka({ clientId: 'interop', brokers: [process.argv[2]], logLevel: logLevel.ERROR })

async function create ({ topic, partitions, configs }) {
  const admin = kafka.admin()
  await admin.connect()
  const configEntries = Object.entries(configs ?? {}).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }] })
  await admin.disconnect()
}

function message (partition, record) {
  const headers = {}
  for (const { key, value } of record.headers ?? []) {
    const one = bytes(value)
    if (!(key in headers)) headers[key] = one
    else headers[key] = [].concat(headers[key], one)
  }
  const m = { partition, key: bytes(record.key), value: bytes(record.value), headers }
  if (record.timestamp) m.timestamp = String(record.timestamp)
  return m
}

async function produce (command) {
  const producer = kafka.producer({ idempotent: command.idempotent, maxInFlightRequests: 1 })
  await producer.connect()
  try {
    const answer = await producer.send({
      topic: command.topic,
      acks: acks[command.acks],
      compression: codecs[command.codec],
      messages: command.records.map(r => message(command.partition, r))
    })
    const base = answer?.[0]?.baseOffset
    return { offsets: command.records.map((_, i) => (command.acks === '0' || base === undefined ? -1 : Number(base) + i)) }
  } finally {
    await producer.disconnect()
  }
}

async function admin ({ topic }) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const cluster = await admin.describeCluster()
    const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
    const offsets = await admin.fetchTopicOffsets(topic)
    const topics = await admin.listTopics()
    await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '123456' }] }] })
    const retention = await until('123456', async () => {
      const answer = await admin.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }], includeSynonyms: true })
      return answer.resources[0].configEntries[0].configValue
    })
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
    const after = await admin.fetchTopicOffsets(topic)
    await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
    const grown = await until(5, async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length)
    await admin.deleteTopics({ topics: [topic] })
    return {
      result: {
        brokers: cluster.brokers.length,
        partitions: metadata.topics[0].partitions.length,
        listed: topics.includes(topic),
        latest: Number(offsets.find(o => o.partition === 0).high),
        earliest: Number(after.find(o => o.partition === 0).low),
        retention,
        grown
      }
    }
  } finally {
    await admin.disconnect()
  }
}

serve({ create, produce, admin }, async () => {})
