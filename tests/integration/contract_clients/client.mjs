// A client in another language: argv = bootstrap, topic prefix, request id, command id. Publishes a CreateRequest with headers made by
// hand, waits for the request's first event, and prints that record as one line of JSON.
import { Kafka, logLevel } from 'kafkajs'

const [bootstrap, prefix, requestId, commandId] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'not-ours', brokers: [bootstrap], logLevel: logLevel.ERROR })
const producer = kafka.producer()
const consumer = kafka.consumer({ groupId: `${prefix}not-ours` })

await consumer.connect()
await consumer.subscribe({ topic: `${prefix}agentmesh.requests.events.v1`, fromBeginning: true })
const event = new Promise(resolve => consumer.run({
  eachMessage: async ({ message }) => {
    if (message.key.toString() === requestId) resolve(message)
  },
}))

await producer.connect()
await producer.send({
  topic: `${prefix}agentmesh.requests.commands.v1`,
  messages: [{
    key: requestId,
    value: JSON.stringify({ tenant_id: 'acme', request_id: requestId, customer_id: 'cust-0042', message: 'My invoice of May is wrong' }),
    headers: {
      ce_specversion: '1.0',
      ce_id: commandId,
      ce_type: 'agentmesh.requests.CreateRequest.v1',
      'content-type': 'application/json',
    },
  }],
})

const { key, value, headers } = await event
const texts = Object.fromEntries(Object.entries(headers).map(([name, content]) => [name, content.toString()]))
console.log(JSON.stringify({ key: key.toString(), value: JSON.parse(value), headers: texts }))
await producer.disconnect()
await consumer.disconnect()
process.exit(0)
