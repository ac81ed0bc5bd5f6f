package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
)

// family is the set of child processes of one tier. The first that ends, ends the tier.
type family struct {
	logs   string
	failed chan error

	mu       sync.Mutex
	children []*child
}

type child struct {
	name     string
	cmd      *exec.Cmd
	ended    chan struct{}
	expected bool
}

func newFamily(logs string) (*family, error) {
	return &family{logs: logs, failed: make(chan error, 32)}, os.MkdirAll(logs, 0o755)
}

// component is a child that is this binary again, and can be started again as it was.
type component struct {
	family *family
	name   string
	args   []string
	child  *child
}

// component starts one component under its own name.
func (f *family) component(name string, args ...string) (*component, error) {
	c := &component{family: f, name: name, args: args}
	return c, c.start()
}

func (c *component) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.child, err = c.family.start(c.name, c.name, exec.Command(self, append([]string{c.name}, c.args...)...))
	return err
}

func (c *component) runs() bool {
	select {
	case <-c.child.ended:
		return false
	default:
		return true
	}
}

func (f *family) start(log, name string, cmd *exec.Cmd) (*child, error) {
	file, err := os.OpenFile(filepath.Join(f.logs, log+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	f.mu.Lock()
	f.children = append(f.children, c)
	f.mu.Unlock()
	go func() {
		err := cmd.Wait()
		close(c.ended)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !c.expected {
			f.failed <- fmt.Errorf("%s ended: %v (see %s)", name, err, file.Name())
		}
	}()
	return c, nil
}

// kill ends one child that is meant to end, at once and without a word to it.
func (f *family) kill(c *child) {
	f.mu.Lock()
	c.expected = true
	f.mu.Unlock()
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// stop ends all children, the youngest first.
func (f *family) stop() {
	f.mu.Lock()
	children := append([]*child(nil), f.children...)
	f.mu.Unlock()
	for i := len(children) - 1; i >= 0; i-- {
		f.kill(children[i])
	}
}

// signals delivers what asks a tier to end: an interrupt, or the end of standard input, by which a
// program that started the tier takes it along even when that program is killed. Lines of standard
// input go to `line`.
func signals(watchInput bool, line func(string)) <-chan os.Signal {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if watchInput {
		go func() {
			for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
				line(lines.Text())
			}
			c <- syscall.SIGHUP
		}()
	}
	return c
}

// freePort finds a port that is free on 127.0.0.1, below the range from which outgoing connections
// take theirs: between this check and the component's own bind nothing else is likely to take it.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1")
}

// answered says on standard output that an order was done, or why not.
func answered(order string, err error) error {
	said := map[string]any{"order": order}
	if err != nil {
		said["error"] = err.Error()
	}
	return announce(said)
}

// announce prints one line of a tier's standard output as JSON; the first says what is there.
func announce(ready map[string]any) error {
	line, err := json.Marshal(ready)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}
