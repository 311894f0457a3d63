# Ottla under the environment of the apache/kafka image: KAFKA_… and CLUSTER_ID.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /ottla ./cmd/ottla
FROM scratch
COPY --from=build /ottla /ottla
VOLUME /var/lib/kafka/data
EXPOSE 9092
ENTRYPOINT ["/ottla", "serve", "--data", "/var/lib/kafka/data"]
