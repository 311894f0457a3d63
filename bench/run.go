package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"ottla/interop/target"
)

// result holds the values of a case: one per metric, side and round.
type result struct {
	testCase *testCase
	values   []map[kind][]float64 // by metric
}

// runCase runs one case in its own scope.
func runCase(ctx context.Context, c *testCase, o *options) (*result, error) {
	r := &result{testCase: c}
	for range c.metrics {
		r.values = append(r.values, map[kind][]float64{})
	}
	s := &scope{name: c.name}
	err := s.run(func() error {
		if c.own != nil {
			return runOwn(ctx, s, c, o, r)
		}
		return runLoads(ctx, s, c, o, r)
	})
	return r, err
}

// wanted are the sides selected by the case and the flags.
func (o *options) wanted(withFloor bool) (kinds []kind) {
	for _, name := range strings.Split(o.sides, ",") {
		if k := kind(name); k != floor || withFloor {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (c *testCase) settings(k kind) []string {
	switch k {
	case kafka:
		return append(slices.Clone(c.set), c.setKafka...)
	case ottla:
		return append(slices.Clone(c.set), c.setOttla...)
	}
	return c.setFloor
}

// runLoads starts the sides, prepares them and warms them up, and then runs the
// load on each in turn.
func runLoads(ctx context.Context, s *scope, c *testCase, o *options, r *result) error {
	var sides []*side
	for _, k := range o.wanted(c.floor) {
		x, err := startSide(s, k, c.settings(k))
		if err != nil {
			return err
		}
		sides = append(sides, x)
		for _, args := range append(slices.Clone(c.prepare), c.load) {
			if _, err := x.load(ctx, args); err != nil {
				return err
			}
		}
	}
	for range o.rounds {
		for _, x := range sides {
			taken, err := measure(ctx, x, c)
			if err != nil {
				return err
			}
			for i, m := range c.metrics {
				r.values[i][x.kind] = append(r.values[i][x.kind], m.of(taken))
			}
		}
	}
	return nil
}

// measure runs the load of a case on a side, and concurrently the load
// c.beside.
func measure(ctx context.Context, x *side, c *testCase) (sample, error) {
	settle()
	if c.cold {
		if err := x.cold(); err != nil {
			return sample{}, err
		}
	}
	if err := forgetPeak(x.pid); err != nil {
		return sample{}, err
	}
	var beside sync.WaitGroup
	var failed error
	if c.beside != nil {
		beside.Go(func() { _, failed = x.load(ctx, c.beside) })
	}
	taken, err := x.load(ctx, c.load)
	beside.Wait()
	return taken, cmp.Or(err, failed)
}

// ownCase is the argument of a case with its own measurement code.
type ownCase struct {
	ctx   context.Context
	scope *scope
	kinds []kind
}

// runOwn runs a case with its own measurement code, in a new scope for each
// round.
func runOwn(ctx context.Context, s *scope, c *testCase, o *options, r *result) error {
	if _, err := target.Binary(); err != nil {
		return err
	}
	for range o.rounds {
		round := &scope{name: s.name}
		err := round.run(func() error {
			values, err := c.own(&ownCase{ctx, round, o.wanted(false)})
			for i := range values {
				for k, v := range values[i] {
					r.values[i][k] = append(r.values[i][k], v)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
