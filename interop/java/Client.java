import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own producer, consumer (assigned partitions) and admin client, with the protocol of
 * interop/clients/process.go: one JSON command per input line, one JSON answer per output line.
 */
public final class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final String addr;
    private final Admin admin;

    private Client(String addr) {
        this.addr = addr;
        this.admin = Admin.create(Map.of("bootstrap.servers", addr));
    }

    public static void main(String[] args) throws Exception {
        Client client = new Client(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                client.run(JSON.readTree(line), answer);
            } catch (Exception e) {
                e.printStackTrace();
                answer.put("error", e.toString());
            }
            System.out.println(JSON.writeValueAsString(answer));
        }
        client.admin.close();
    }

    private void run(JsonNode command, ObjectNode answer) throws Exception {
        switch (command.get("op").asText()) {
            case "create" -> create(command);
            case "produce" -> produce(command, answer);
            case "consume" -> consume(command, answer);
            case "admin" -> answer.set("result", new AdminTour(admin, command.get("topic").asText()).run());
            case "groups" -> answer.set("result", new GroupTour(admin, addr, command.get("topic").asText()).run());
            default -> throw new IllegalArgumentException("unknown command " + command.get("op"));
        }
    }

    private void create(JsonNode command) throws Exception {
        Map<String, String> configs = new HashMap<>();
        command.get("configs").properties().forEach(e -> configs.put(e.getKey(), e.getValue().asText()));
        NewTopic topic = new NewTopic(
            command.get("topic").asText(), Optional.of(command.get("partitions").asInt()), Optional.of((short) 1));
        admin.createTopics(List.of(topic.configs(configs))).all().get();
    }

    private void produce(JsonNode command, ObjectNode answer) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", addr);
        config.put("acks", command.get("acks").asText());
        config.put("compression.type", command.get("codec").asText());
        config.put("enable.idempotence", command.get("idempotent").asBoolean());
        config.put("max.request.size", 2_000_000);
        config.put("linger.ms", 5);
        config.put("key.serializer", ByteArraySerializer.class.getName());
        config.put("value.serializer", ByteArraySerializer.class.getName());
        String transaction = command.path("transaction").asText("");
        if (!transaction.isEmpty()) {
            config.put("transactional.id", "client-" + command.get("topic").asText());
        }
        ArrayNode offsets = answer.putArray("offsets");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            if (!transaction.isEmpty()) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode r : command.get("records")) {
                sent.add(producer.send(toRecord(command, r)));
            }
            producer.flush();
            for (Future<RecordMetadata> f : sent) {
                offsets.add(f.get().hasOffset() ? f.get().offset() : -1);
            }
            switch (transaction) {
                case "" -> { }
                case "commit" -> producer.commitTransaction();
                case "abort" -> producer.abortTransaction();
                default -> throw new IllegalArgumentException("unknown end of a transaction " + transaction);
            }
        }
    }

    private static ProducerRecord<byte[], byte[]> toRecord(JsonNode command, JsonNode r) throws Exception {
        List<Header> headers = new ArrayList<>();
        for (JsonNode h : r.get("headers")) {
            headers.add(new RecordHeader(h.get("key").asText(), h.get("value").binaryValue()));
        }
        long timestamp = r.get("timestamp").asLong();
        return new ProducerRecord<>(
            command.get("topic").asText(), command.get("partition").asInt(), timestamp == 0 ? null : timestamp,
            r.get("key").binaryValue(), r.get("value").binaryValue(), headers);
    }

    private void consume(JsonNode command, ObjectNode answer) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", addr);
        config.put("max.partition.fetch.bytes", 4 << 20);
        config.put("auto.offset.reset", "none");
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        int count = command.get("count").asInt();
        long timestamp = command.get("timestamp").asLong();
        long deadline = System.nanoTime() + LIMIT.toNanos();
        ArrayNode records = answer.putArray("records");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
            TopicPartition partition = new TopicPartition(command.get("topic").asText(), command.get("partition").asInt());
            consumer.assign(List.of(partition));
            long offset = command.get("offset").asLong();
            if (timestamp != 0) {
                offset = consumer.offsetsForTimes(Map.of(partition, timestamp)).get(partition).offset();
            }
            consumer.seek(partition, offset);
            while (records.size() < count) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
                    if (records.size() < count) {
                        fromRecord(r, records.addObject());
                    }
                }
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("got " + records.size() + " of " + count + " records");
                }
            }
        }
    }

    private static void fromRecord(ConsumerRecord<byte[], byte[]> r, ObjectNode out) {
        out.put("offset", r.offset()).put("timestamp", r.timestamp()).put("key", r.key()).put("value", r.value());
        ArrayNode headers = out.putArray("headers");
        for (Header h : r.headers()) {
            headers.addObject().put("key", h.key()).put("value", h.value());
        }
    }
}
