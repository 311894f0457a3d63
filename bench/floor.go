package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// floorCommand runs this program as the floor. The data folder follows as an
// argument, then floorFlush if writes must be flushed.
const (
	floorCommand = "floor"
	floorFlush   = "flush"
)

// floorServer does the minimum work of a broker. On Produce it reads a frame,
// checks the CRC of the batch, writes the batch to a file and responds. On
// Fetch it sends the written data by sendfile. It has no index and no limits,
// and flushes only on request. It implements the part of the protocol that
// `ottla bench --raw` needs.
type floorServer struct {
	addr  *net.TCPAddr
	dir   string
	flush bool

	mu     sync.Mutex
	topics map[string][]*floorLog
}

// floorLog is a partition, stored in one file.
type floorLog struct {
	mu    sync.Mutex // held by the writer
	grown sync.Cond
	file  *os.File
	// size is the position of the next batch. All batches have the same number
	// of bytes and records as the first.
	size, batchBytes, batchRecords atomic.Int64
}

func floorMain(dir string, flush bool) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		return 1
	}
	fmt.Println(l.Addr())
	serveFloor(l, dir, flush)
	return 0
}

// serveFloor serves until the listener is closed.
func serveFloor(l net.Listener, dir string, flush bool) {
	s := &floorServer{addr: l.Addr().(*net.TCPAddr), dir: dir, flush: flush, topics: map[string][]*floorLog{}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()   //nolint:errcheck // the error of serve is reported instead
			var cut *net.OpError // the load ended, possibly in the middle of a request
			err := s.serve(conn.(*net.TCPConn))
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &cut) {
				fmt.Fprintln(os.Stderr, "floor:", err)
			}
		}()
	}
}

// serve answers one request after the other. Responses to requests that arrived
// together are flushed together.
func (s *floorServer) serve(conn *net.TCPConn) error {
	in, reply := bufio.NewReaderSize(conn, 16<<10), bufio.NewWriterSize(conn, 16<<10)
	buf := make([]byte, 64<<10)
	out := make([]byte, 0, 4096)
	for {
		if in.Buffered() == 0 {
			if err := reply.Flush(); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(in, buf[:4]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(buf))
		if n > len(buf) {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return err
		}
		req := buf[:n]
		key, version := int16(binary.BigEndian.Uint16(req)), int16(binary.BigEndian.Uint16(req[2:]))
		body := requestBody(key, version, req)
		out = append(out[:0], 0, 0, 0, 0, req[4], req[5], req[6], req[7])
		if isFlexible(key, version) && key != 18 { // ApiVersions responses keep the old header
			out = append(out, 0)
		}
		if key == 1 {
			if err := s.fetch(conn, out, body, version); err != nil {
				return err
			}
			continue
		}
		var err error
		if out, err = s.answer(out, key, version, body); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := reply.Write(out); err != nil {
			return err
		}
	}
}

func isFlexible(key, version int16) bool {
	r := kmsg.RequestForKey(key)
	r.SetVersion(version)
	return r.IsFlexible()
}

// requestBody skips the header of a request.
func requestBody(key, version int16, req []byte) []byte {
	at := 8
	if n := int16(binary.BigEndian.Uint16(req[at:])); n > 0 {
		at += int(n)
	}
	at += 2
	if isFlexible(key, version) {
		at++ // no tagged fields
	}
	return req[at:]
}

// answer appends the response to any request except Fetch.
func (s *floorServer) answer(out []byte, key, version int16, body []byte) ([]byte, error) {
	req := kmsg.RequestForKey(key)
	if req == nil {
		return nil, fmt.Errorf("request %d is not supported", key)
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		s.apiVersions(resp.(*kmsg.ApiVersionsResponse))
	case *kmsg.MetadataRequest:
		s.metadata(req, resp.(*kmsg.MetadataResponse))
	case *kmsg.CreateTopicsRequest:
		if err := s.createTopics(req, resp.(*kmsg.CreateTopicsResponse)); err != nil {
			return nil, err
		}
	case *kmsg.ListOffsetsRequest:
		s.listOffsets(req, resp.(*kmsg.ListOffsetsResponse))
	case *kmsg.ProduceRequest:
		if err := s.produce(req, resp.(*kmsg.ProduceResponse)); err != nil {
			return nil, err
		}
	}
	return resp.AppendTo(out), nil
}

func (s *floorServer) apiVersions(resp *kmsg.ApiVersionsResponse) {
	for key, most := range map[int16]int16{0: 9, 1: 12, 2: 6, 3: 9, 18: 3, 19: 6} {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MaxVersion = key, most
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
}

func (s *floorServer) metadata(req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) {
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = 1, "127.0.0.1", int32(s.addr.Port)
	resp.Brokers = append(resp.Brokers, b)
	resp.ControllerID = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range req.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = asked.Topic
		for i := range s.topics[*asked.Topic] {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.Replicas, p.ISR = int32(i), 1, []int32{1}, []int32{1}
			t.Partitions = append(t.Partitions, p)
		}
		if len(t.Partitions) == 0 {
			t.ErrorCode = 3
		}
		resp.Topics = append(resp.Topics, t)
	}
}

func (s *floorServer) createTopics(req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic = asked.Topic
		if s.topics[asked.Topic] != nil {
			t.ErrorCode = 36
			resp.Topics = append(resp.Topics, t)
			continue
		}
		logs := make([]*floorLog, asked.NumPartitions)
		for i := range logs {
			f, err := os.Create(filepath.Join(s.dir, asked.Topic+"-"+strconv.Itoa(i)))
			if err != nil {
				return err
			}
			logs[i] = &floorLog{file: f}
			logs[i].grown.L = &logs[i].mu
		}
		s.topics[asked.Topic] = logs
		resp.Topics = append(resp.Topics, t)
	}
	return nil
}

func (s *floorServer) listOffsets(req *kmsg.ListOffsetsRequest, resp *kmsg.ListOffsetsResponse) {
	for _, asked := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = asked.Topic
		for _, part := range asked.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = part.Partition
			p.Offset = 0
			if log := s.log(asked.Topic, part.Partition); part.Timestamp == -1 && log.batchBytes.Load() > 0 {
				p.Offset = log.size.Load() / log.batchBytes.Load() * log.batchRecords.Load()
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
}

func (s *floorServer) log(topic string, partition int32) *floorLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics[topic][partition]
}

// Offsets of the fields in the header of a batch.
const (
	batchCRC     = 17
	batchChecked = 21 // start of the bytes covered by the CRC
	batchCount   = 57
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *floorServer) produce(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) error {
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := kmsg.NewProduceResponseTopic()
		t.Topic = asked.Topic
		for j := range asked.Partitions {
			part := &asked.Partitions[j]
			batch := part.Records
			if crc32.Checksum(batch[batchChecked:], castagnoli) != binary.BigEndian.Uint32(batch[batchCRC:]) {
				return errors.New("a batch with a wrong CRC")
			}
			if err := s.log(asked.Topic, part.Partition).append(batch, s.flush); err != nil {
				return err
			}
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = part.Partition
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return nil
}

// append writes a batch and wakes the waiting fetches.
func (l *floorLog) append(batch []byte, flush bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.size.Load()
	l.batchBytes.Store(int64(len(batch)))
	l.batchRecords.Store(int64(binary.BigEndian.Uint32(batch[batchCount:])))
	binary.BigEndian.PutUint64(batch, uint64(at/int64(len(batch))*l.batchRecords.Load()))
	if _, err := l.file.WriteAt(batch, at); err != nil {
		return err
	}
	if flush {
		if err := dataSync(l.file); err != nil {
			return err
		}
	}
	l.size.Add(int64(len(batch)))
	l.grown.Broadcast()
	return nil
}

// position is the file position of an offset, which may be past the end.
func (l *floorLog) position(offset int64) int64 {
	return offset / max(1, l.batchRecords.Load()) * l.batchBytes.Load()
}

// await returns when the record at an offset exists.
func (l *floorLog) await(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.position(offset) >= l.size.Load() {
		l.grown.Wait()
	}
}

// fetch sends the written data by sendfile, one region per partition. A fetch
// of a single partition waits until there is data.
func (s *floorServer) fetch(conn *net.TCPConn, out, body []byte, version int16) error {
	req := kmsg.FetchRequest{Version: version}
	if err := req.ReadFrom(body); err != nil {
		return err
	}
	type region struct {
		at, length int64
		slot       int
		file       *os.File
	}
	var regions []region
	left := int64(req.MaxBytes)
	out = append(out, make([]byte, 4+2+4)...) // throttle, error, session
	out = appendUvarint(out, uint64(len(req.Topics)+1))
	for _, t := range req.Topics {
		out = appendUvarint(out, uint64(len(t.Topic)+1))
		out = append(out, t.Topic...)
		out = appendUvarint(out, uint64(len(t.Partitions)+1))
		for _, p := range t.Partitions {
			log := s.log(t.Topic, p.Partition)
			if len(req.Topics) == 1 && len(t.Partitions) == 1 {
				log.await(p.FetchOffset)
			}
			at := log.position(p.FetchOffset)
			n := max(0, min(log.size.Load()-at, int64(p.PartitionMaxBytes), left))
			left -= n
			out = binary.BigEndian.AppendUint32(out, uint32(p.Partition))
			out = append(out, make([]byte, 2+8+8+8)...) // error, high watermark, stable, start
			out = append(out, 0)                        // aborted: null
			out = binary.BigEndian.AppendUint32(out, 1<<32-1)
			out = appendUvarint(out, uint64(n+1))
			regions = append(regions, region{at, n, len(out), log.file})
			out = append(out, 0) // tags
		}
		out = append(out, 0)
	}
	out = append(out, 0)
	total := int64(len(out) - 4)
	for _, r := range regions {
		total += r.length
	}
	binary.BigEndian.PutUint32(out, uint32(total))
	done := 0
	for _, r := range regions {
		if r.length == 0 {
			continue
		}
		if _, err := conn.Write(out[done:r.slot]); err != nil {
			return err
		}
		done = r.slot
		if err := sendFile(conn, r.file, r.at, r.length); err != nil {
			return err
		}
	}
	_, err := conn.Write(out[done:])
	return err
}

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// sendFile sends a part of a file. It opens the file again, because the
// position of the shared descriptor is used by all connections.
func sendFile(conn *net.TCPConn, f *os.File, at, n int64) error {
	own, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	defer own.Close() //nolint:errcheck // opened for reading only
	if _, err := own.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err = conn.ReadFrom(io.LimitReader(own, n)) // uses sendfile
	return err
}
