package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"ottla/interop/target"
)

// stderrLines is the number of lines of a program's standard error that are
// shown.
const stderrLines = 30

// Process is a client program that reads one command per line and writes one
// line as the answer, both JSON:
//
//	{"op":"create","topic":"t","partitions":2,"configs":{"retention.ms":"-1"}}  →  {}
//	{"op":"produce", …the fields of Produce…}                                   →  {"offsets":[0,1]}
//	{"op":"consume", …the fields of Consume…}                                   →  {"records":[…]}
//	{"op":"admin","topic":"t"}                                                  →  {"result":{…}}
//	{"op":"groups","topic":"t"}                                                 →  {"result":{…}}
//
// Bytes are base64, null is null. A failure is {"error":"text"}. The program
// ends when its input ends.
type Process struct {
	abilities Abilities
	cmd       *exec.Cmd
	in        io.WriteCloser
	out       *bufio.Reader
	stderr    *target.Output
}

type answer struct {
	Offsets []int64         `json:"offsets"`
	Records []Record        `json:"records"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
}

// StartProcess starts a client program. Its last argument is the bootstrap
// address.
func StartProcess(abilities Abilities, env []string, addr string, argv ...string) (*Process, error) {
	cmd := exec.Command(argv[0], append(argv[1:], addr)...)
	cmd.Env = append(cmd.Environ(), env...)
	p := &Process{abilities: abilities, cmd: cmd, stderr: &target.Output{}}
	cmd.Stderr = p.stderr
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReaderSize(out, 1<<20)
	return p, cmd.Start()
}

// Can implements Client.
func (p *Process) Can() Abilities { return p.abilities }

// Create implements Client.
func (p *Process) Create(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	_, err := p.call(ctx, "create", struct {
		Topic      string            `json:"topic"`
		Partitions int               `json:"partitions"`
		Configs    map[string]string `json:"configs"`
	}{topic, partitions, configs})
	return err
}

// Produce implements Client.
func (p *Process) Produce(ctx context.Context, req Produce) ([]int64, error) {
	a, err := p.call(ctx, "produce", req)
	return a.Offsets, err
}

// Consume implements Client.
func (p *Process) Consume(ctx context.Context, req Consume) ([]Record, error) {
	a, err := p.call(ctx, "consume", req)
	return a.Records, err
}

// Tour runs the program's tour of the admin client ("admin" or "groups"), and
// decodes the results into result.
func (p *Process) Tour(ctx context.Context, op, topic string, result any) error {
	a, err := p.call(ctx, op, map[string]string{"topic": topic})
	if err != nil {
		return err
	}
	return json.Unmarshal(a.Result, result)
}

// call sends one command and waits for the answer. When ctx is done it kills
// the program, because a late line would be taken for the next answer.
func (p *Process) call(ctx context.Context, op string, args any) (answer, error) {
	line, err := command(op, args)
	if err != nil {
		return answer{}, err
	}
	done := make(chan struct{})
	var a answer
	go func() {
		defer close(done)
		a, err = p.exchange(line)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill() // ends exchange, whose error contains the reason
		<-done
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w\n%s", op, err, p.stderr.Tail(stderrLines))
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s\n%s", op, a.Error, p.stderr.Tail(stderrLines))
	}
	return a, nil
}

// command adds "op" to the fields of args.
func command(op string, args any) ([]byte, error) {
	fields, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf(`{"op":%q,`, op)
	return append([]byte(head), append(fields[1:], '\n')...), nil
}

func (p *Process) exchange(line []byte) (answer, error) {
	if _, err := p.in.Write(line); err != nil {
		return answer{}, err
	}
	reply, err := p.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("program ended: %w", err)
	}
	var a answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return answer{}, fmt.Errorf("%w in %q", err, reply[:min(len(reply), 200)])
	}
	return a, nil
}

// Close ends the program.
func (p *Process) Close() error {
	if err := p.in.Close(); err != nil {
		return err
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, p.stderr.Tail(stderrLines))
	}
	return nil
}
