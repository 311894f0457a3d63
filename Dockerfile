# Ottla under the environment of the apache/kafka image: KAFKA_… and CLUSTER_ID.
FROM golang:1.26 AS build
COPY . /src
RUN cd /src && make build && mv ottla /ottla
FROM scratch
COPY --from=build /ottla /ottla
COPY LICENSE NOTICE /
COPY docker/server.properties /etc/ottla/server.properties
VOLUME /var/lib/kafka/data
EXPOSE 9092
ENTRYPOINT ["/ottla", "serve", "--defaults", "/etc/ottla/server.properties"]
