# Ottla under the environment of the apache/kafka image: KAFKA_… and CLUSTER_ID.
FROM golang:1.26 AS build
COPY . /src
RUN cd /src && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /ottla ./cmd/ottla
FROM scratch
COPY --from=build /ottla /ottla
COPY docker/server.properties /etc/ottla/server.properties
VOLUME /var/lib/kafka/data
EXPOSE 9092
ENTRYPOINT ["/ottla", "serve", "--defaults", "/etc/ottla/server.properties"]
