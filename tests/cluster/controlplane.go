package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// controlPlane is etcd, the API server, the controller manager and the scheduler, with state in dir.
type controlPlane struct {
	dir                                          string
	audit                                        bool
	eventTTL                                     time.Duration
	tolerationSeconds                            int
	apiserverArgs, controllerArgs, schedulerArgs []string

	bind string
	port int

	pki             *pki
	server, token   string
	etcd, apiserver *component
}

// controlPlaneOrders are the orders of both tiers. What is stopped is killed; what is started is as it
// was, with its data and its port, and is answered for once the API server is ready.
const controlPlaneOrders = "stop-apiserver, start-apiserver, stop-etcd or start-etcd"

// obey does one order of the control plane's, if it is one.
func (o *controlPlane) obey(order string, f *family, stop <-chan os.Signal) (known bool, err error) {
	verb, name, _ := strings.Cut(order, "-")
	c, known := map[string]*component{"etcd": o.etcd, "apiserver": o.apiserver}[name]
	switch {
	case known && verb == "stop":
		f.kill(c.child)
		return true, nil
	case !known || verb != "start":
		return false, nil
	case c.runs():
		return true, fmt.Errorf("%s runs already", c.name)
	}
	if err := c.start(); err != nil || !o.etcd.runs() || !o.apiserver.runs() {
		return true, err
	}
	return true, o.poll("/readyz", f, stop, func(status int, _ string) bool { return status == 200 })
}

func (o *controlPlane) flags(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "dir", "", "directory for state, logs and kubeconfigs; one that was used before is opened again")
	f.BoolVar(&o.audit, "audit", false, "write each request's metadata to DIR/audit.jsonl")
	f.DurationVar(&o.eventTTL, "event-ttl", time.Hour, "how long events are kept")
	f.IntVar(&o.tolerationSeconds, "toleration-seconds", 300, "how long pods stay on a node that is not ready or not reachable")
	f.StringArrayVar(&o.apiserverArgs, "apiserver-arg", nil, "further argument of the API server")
	f.StringArrayVar(&o.controllerArgs, "controller-manager-arg", nil, "further argument of the controller manager")
	f.StringArrayVar(&o.schedulerArgs, "scheduler-arg", nil, "further argument of the scheduler")
}

// start brings the control plane up and returns when the API server answers and the default
// namespace has its service account, without which no pod is admitted.
func (o *controlPlane) start(f *family, stop <-chan os.Signal) error {
	var err error
	if o.pki, err = newPKI(filepath.Join(o.dir, "pki")); err != nil {
		return err
	}
	if o.bind == "" {
		o.bind = "127.0.0.1"
	}
	ports := make([]int, 5)
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	if o.port == 0 {
		o.port = ports[4]
	}
	o.server = fmt.Sprintf("https://127.0.0.1:%d", o.port)
	if err := o.identities(); err != nil {
		return err
	}
	p := o.pki
	etcd := fmt.Sprintf(`name: default
data-dir: %q
listen-client-urls: https://127.0.0.1:%d
advertise-client-urls: https://127.0.0.1:%d
listen-peer-urls: http://127.0.0.1:%d
initial-advertise-peer-urls: http://127.0.0.1:%d
initial-cluster: default=http://127.0.0.1:%d
unsafe-no-fsync: true
quota-backend-bytes: 4294967296
log-level: warn
client-transport-security: {cert-file: %q, key-file: %q, trusted-ca-file: %q, client-cert-auth: true}
`, filepath.Join(o.dir, "etcd"), ports[0], ports[0], ports[1], ports[1], ports[1], p.path("etcd.crt"), p.path("etcd.key"), p.path("ca.crt"))
	if err := os.WriteFile(filepath.Join(o.dir, "etcd.yaml"), []byte(etcd), 0o600); err != nil {
		return err
	}
	if o.etcd, err = f.component("etcd", "--config-file="+filepath.Join(o.dir, "etcd.yaml")); err != nil {
		return err
	}
	args := []string{
		"--bind-address=" + o.bind, "--secure-port=" + strconv.Itoa(o.port),
		"--advertise-address=10.250.0.1",  // any that is not a loopback one: else a host without a default route does not start
		"--endpoint-reconciler-type=none", // 127.0.0.1 may not be an endpoint
		"--tls-cert-file=" + p.path("apiserver.crt"), "--tls-private-key-file=" + p.path("apiserver.key"),
		"--client-ca-file=" + p.path("ca.crt"), "--anonymous-auth=false",
		"--token-auth-file=" + filepath.Join(o.dir, "tokens.csv"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction,PodNodeSelector",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.path("sa.pub"), "--service-account-signing-key-file=" + p.path("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--etcd-servers=https://127.0.0.1:" + strconv.Itoa(ports[0]),
		"--etcd-cafile=" + p.path("ca.crt"), "--etcd-certfile=" + p.path("etcd.crt"), "--etcd-keyfile=" + p.path("etcd.key"),
		"--kubelet-client-certificate=" + p.path("kubelet-client.crt"), "--kubelet-client-key=" + p.path("kubelet-client.key"),
		"--kubelet-certificate-authority=" + p.path("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		// The aggregation layer's own identity: controller manager and scheduler want its authority published.
		"--requestheader-client-ca-file=" + p.path("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p.path("front-proxy-client.crt"), "--proxy-client-key-file=" + p.path("front-proxy-client.key"),
		"--allow-privileged=true", "--profiling=false", "--shutdown-delay-duration=0s",
		"--event-ttl=" + o.eventTTL.String(),
		"--default-not-ready-toleration-seconds=" + strconv.Itoa(o.tolerationSeconds),
		"--default-unreachable-toleration-seconds=" + strconv.Itoa(o.tolerationSeconds),
	}
	if o.audit {
		policy := filepath.Join(o.dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"), 0o600); err != nil {
			return err
		}
		args = append(args, "--audit-policy-file="+policy, "--audit-log-path="+o.auditLog())
	}
	if o.apiserver, err = f.component("kube-apiserver", append(args, o.apiserverArgs...)...); err != nil {
		return err
	}
	if err := o.poll("/readyz", f, stop, func(status int, _ string) bool { return status == 200 }); err != nil {
		return err
	}
	common := func(user string, port int) []string {
		config := o.userConfig(user)
		return []string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--leader-elect=false", "--profiling=false",
			"--tls-cert-file=" + p.path(user+".crt"), "--tls-private-key-file=" + p.path(user+".key"), "--authentication-tolerate-lookup-failure=true",
			"--kube-api-qps=200", "--kube-api-burst=400"}
	}
	args = append(common("controller-manager", ports[2]),
		"--service-account-private-key-file="+p.path("sa.key"), "--root-ca-file="+p.path("ca.crt"),
		"--use-service-account-credentials=true",
		"--cluster-signing-cert-file="+p.path("ca.crt"), "--cluster-signing-key-file="+p.path("ca.key"),
		"--cluster-cidr=10.244.0.0/16", "--allocate-node-cidrs=true", "--service-cluster-ip-range=10.96.0.0/16",
		"--node-monitor-period=2s", "--node-monitor-grace-period=20s")
	if _, err := f.component("kube-controller-manager", append(args, o.controllerArgs...)...); err != nil {
		return err
	}
	if _, err := f.component("kube-scheduler", append(common("scheduler", ports[3]), o.schedulerArgs...)...); err != nil {
		return err
	}
	return o.poll("/api/v1/namespaces/default/serviceaccounts/default", f, stop, func(status int, body string) bool {
		return status == 200 && strings.Contains(body, `"name":"default"`)
	})
}

func (o *controlPlane) auditLog() string { return filepath.Join(o.dir, "audit.jsonl") }

func (o *controlPlane) userConfig(user string) string {
	return filepath.Join(o.dir, user+".kubeconfig")
}

// identities issues all certificates, the kubeconfigs and the administrator's bearer token.
func (o *controlPlane) identities() error {
	for _, i := range []struct {
		name, commonName string
		organizations    []string
		alternatives     []string
	}{
		{"etcd", "etcd", nil, []string{"127.0.0.1", "localhost"}},
		{"apiserver", "kube-apiserver", nil, []string{"127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}},
		{"kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil},
		{"front-proxy-client", "front-proxy-client", nil, nil},
		{"kwok", "kwok", nil, []string{"127.0.0.1"}}, // the simulated nodes' log server
		{"admin", "admin", []string{"system:masters"}, nil},
		{"powerless", "powerless", nil, nil}, // known to the cluster, allowed nothing but to ask what it is allowed
		{"controller-manager", "system:kube-controller-manager", nil, []string{"127.0.0.1"}},
		{"scheduler", "system:kube-scheduler", nil, []string{"127.0.0.1"}},
	} {
		if err := o.pki.issue(i.name, i.commonName, i.organizations, i.alternatives...); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "powerless", "controller-manager", "scheduler"} {
		if err := o.pki.kubeconfig(o.userConfig(user), o.server, user); err != nil {
			return err
		}
	}
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	o.token = hex.EncodeToString(raw)
	return os.WriteFile(filepath.Join(o.dir, "tokens.csv"), []byte(o.token+",token-admin,token-admin,\"system:masters\"\n"), 0o600)
}

// poll asks for path as the administrator until the answer is the wanted one.
func (o *controlPlane) poll(path string, f *family, stop <-chan os.Signal, wanted func(status int, body string) bool) error {
	crt, err := tls.LoadX509KeyPair(o.pki.path("admin.crt"), o.pki.path("admin.key"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(o.pki.ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{crt}}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // about 4 s on an idle machine
	defer cancel()
	last := ""
	for {
		if r, err := client.Get(o.server + path); err == nil {
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			last = string(body)
			if wanted(r.StatusCode, last) {
				return nil
			}
		} else {
			last = err.Error()
		}
		select {
		case err := <-f.failed:
			return err
		case <-stop:
			return fmt.Errorf("interrupted while starting")
		case <-ctx.Done():
			return fmt.Errorf("%s: not as wanted after 3 minutes: %.500s", path, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
